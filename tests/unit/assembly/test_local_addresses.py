"""The address that a node tells others is chosen as an engine chooses it, or refused in its words."""

from __future__ import annotations

import ipaddress

import pytest

from reconciler.adapters import host_addresses
from reconciler.adapters.host_addresses import Interface
from reconciler.assembly import local_addresses
from reconciler.model.errors import SwarmctlError


def interface(name: str, *addresses: str, kind: str = "") -> Interface:
    return Interface(name, kind, name == "lo", tuple(ipaddress.ip_address(one) for one in addresses))


LO = interface("lo", "127.0.0.1", "::1")
ETH = interface("eth0", "10.0.0.1", "fd00::1", "fe80::1")
SEVERAL = "could not choose an IP address to advertise since this system has multiple addresses "


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([LO, ETH], "10.0.0.1"),
        ([LO, ETH, interface("docker0", "172.17.0.1", kind="bridge")], "10.0.0.1"),
        ([LO, ETH, interface("wg0", "10.9.0.1", kind="wireguard")], "10.0.0.1"),
        ([LO, interface("eth0", "10.0.0.7", kind="veth")], "10.0.0.7"),
        ([LO, interface("eth0", "fe80::1", "fd00::1")], "fd00::1"),
        ([LO, interface("eth0"), interface("eth1", "10.0.0.2")], "10.0.0.2"),
        ([LO], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
def test_a_hosts_one_address_is_its_own(monkeypatch: pytest.MonkeyPatch, found: list[Interface], chosen: str) -> None:
    monkeypatch.setattr(local_addresses, "interfaces", lambda: found)
    assert local_addresses.own_address() == chosen


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([LO, interface("eth0", "10.0.0.1", "10.0.0.2")], SEVERAL + "on interface eth0 (10.0.0.1 and 10.0.0.2)"),
        (
            [LO, ETH, interface("eth1", "10.1.0.1")],
            SEVERAL + "on different interfaces (10.0.0.1 on eth0 and 10.1.0.1 on eth1)",
        ),
    ],
)
def test_of_several_addresses_none_is_chosen(
    monkeypatch: pytest.MonkeyPatch, found: list[Interface], text: str
) -> None:
    monkeypatch.setattr(local_addresses, "interfaces", lambda: found)
    with pytest.raises(SwarmctlError) as refused:
        local_addresses.own_address()
    assert refused.value.problems[0].why == text


def test_an_interface_stands_for_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    two, none = interface("eth1", "10.0.0.1", "10.0.0.2"), interface("eth2", "fe80::1")
    monkeypatch.setattr(local_addresses, "interfaces", lambda: [LO, ETH, two, none])
    assert local_addresses.address_of("eth0", "no") == "10.0.0.1"
    assert local_addresses.address_of("::", "no") == "::"
    for name, text in (
        ("eth9", "no"),
        ("eth1", "interface eth1 has more than one IPv4 address (10.0.0.1 and 10.0.0.2)"),
        ("eth2", "interface eth2 has no usable IPv4 or IPv6 addresses"),
    ):
        with pytest.raises(SwarmctlError) as refused:
            local_addresses.address_of(name, "no")
        assert refused.value.problems[0].why == text


def test_the_kernel_tells_the_loopback() -> None:
    (lo,) = [one for one in host_addresses.interfaces() if one.is_loopback]
    assert (lo.name, lo.addresses[0]) == ("lo", ipaddress.ip_address("127.0.0.1"))
