"""A node keeps its certificate while it serves, and has another made in time: by its root, or by an external CA."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.swarm_ca import Root, make_root, tls_info, was_issued_by
from reconciler.assembly.certifying import Certifier
from reconciler.assembly.external_ca import authorities, check_external
from reconciler.assembly.node_certificate import Chance, in_force
from reconciler.assembly.node_keys import NodeKeys, new_keys
from reconciler.assembly.node_state import NodeState
from reconciler.assembly.trust import Trust, new_trust
from reconciler.model.commands import InitCluster
from reconciler.model.errors import SwarmctlError
from reconciler.model.tables import Tables
from tests.fakes.authority import an_external_authority
from tests.unit.store.replica import Replica

NOW = datetime.now(UTC)
NODE = NodeState("cluster", "node", "127.0.0.1", 2377)
HOURS_NS = 3_600_000_000_000


def tables_of(trust: Trust, **authority: Any) -> Tables:
    """Return the state of a swarm with this root, whose certificates are valid for nine hours."""
    replica = Replica()
    spec = {"CAConfig": {"NodeCertExpiry": 9 * HOURS_NS, **authority}}
    first = InitCluster(at=NOW, id="cluster", spec=spec, join_tokens=trust.tokens(), network_ids=("a", "b", "c"))
    replica.do(first, trust.remembered(NOW))
    return replica.state.tables


class Node:
    """A node's folder, and what becomes of it in time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certifier = Certifier(folder)
        self.keys = new_keys()

    def at(self, hours: float, tables: Tables, keys: NodeKeys | None = None) -> str:
        """Have it certified some hours from now; return the certificate that is in force then."""
        chance = Chance(NOW + timedelta(hours=hours), 0.0)
        asyncio.run(self.certifier.certify(NODE, keys or self.keys, tables, chance))
        return in_force(self.folder)[0]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_certificate_is_made_once_and_anew_when_its_time_or_root_is_over(node: Node) -> None:
    trust = new_trust(NOW)
    tables = tables_of(trust)
    first = node.at(0, tables)
    assert node.at(3.9, tables) == first
    second = node.at(4.0, tables)  # half of its ten hours, of which one was before it was made
    assert second != first
    assert node.at(4.1, tables) == second
    third = node.at(4.1, tables_of(new_trust(NOW)))
    assert third not in (first, second)
    assert node.at(4.1, tables) not in (first, second, third)
    assert node.at(4.1, tables, new_keys()) != node.at(4.1, tables)
    (node.folder / "certificates" / "swarm-node.crt").write_bytes(b"\xff")
    assert node.at(4.1, tables)
    (node.folder / "certificates" / "swarm-node.crt").unlink()
    assert node.at(4.1, tables)
    assert (node.folder / "certificates" / "swarm-root-ca.crt").read_text() == trust.root.certificate


def test_an_external_ca_renews_and_one_that_fails_changes_nothing(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    root = make_root(NOW)
    with an_external_authority(root, node.folder) as authority:
        tables = tables_of(Trust(root, 0), ExternalCAs=[{"Protocol": "cfssl", "URL": authority.url}])
        first = node.at(0, tables)
        assert authority.asked == []  # there was nothing to show it
        authority.answer = (500, b"not now")
        assert [node.at(4.0, tables), node.at(4.1, tables)] == [first, first]
        assert len(authority.asked) == 2
        assert [record.message.count("not now") for record in caplog.records] == [1]  # told once, though tried twice
        authority.answer = None
        second = node.at(4.2, tables)
        assert second != first
        assert was_issued_by(root, second, node.keys.tls, NOW)
        authority.signer = make_root(NOW)
        assert node.at(40, tables) == second
        assert "is not of this root" in caplog.records[-1].message
        assert not node.certifier.rotates


def test_a_root_whose_key_is_elsewhere_counts_before_its_ca_has_signed(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    old, root = new_trust(NOW), make_root(NOW)
    first = node.at(0, tables_of(old))
    with an_external_authority(root, node.folder) as authority:
        external = {"Protocol": "cfssl", "URL": authority.url, "CACert": root.certificate}
        tables = tables_of(Trust(Root(root.certificate, ""), 1), ExternalCAs=[external])
        authority.answer = (500, b"")
        assert node.at(0, tables) == first
        assert (node.certifier.trusted, node.certifier.issued_by) == (tls_info(root.certificate), old.tls_info())
        assert node.certifier.rotates
        authority.answer = None
        assert node.at(0, tables) == first  # it does not know who asks
        assert "alert" in caplog.text
        authority.trust(old.root.certificate)
        assert node.at(0, tables) != first
        assert node.certifier.issued_by == tls_info(root.certificate)
        assert not node.certifier.rotates


def test_a_root_that_nobody_signs_for_leaves_the_certificate_in_force(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    first = node.at(0, tables_of(new_trust(NOW)))
    alone = tables_of(Trust(Root(make_root(NOW).certificate, ""), 0))
    assert node.at(0, alone) == first
    assert "there must be at least one valid, reachable external CA" in caplog.text


def test_an_external_ca_is_asked_for_the_root_that_it_names_only() -> None:
    one, two = make_root(NOW).certificate, make_root(NOW).certificate
    named = {"URL": "https://named", "CACert": "said before\n" + two.replace("\n", "\r\n")}
    spec = {"CAConfig": {"ExternalCAs": [{"URL": "https://plain"}, named, {"URL": "https://x", "Protocol": "acme"}]}}
    assert authorities(spec, one, one) == ("https://plain",)
    assert authorities(spec, two, one) == ("https://named",)
    assert authorities(spec, two, two) == ("https://plain", "https://named")
    assert authorities({}, one, one) == ()


def refused(spec: Any, current: Root, certifier: Certifier) -> str:
    try:
        keys = new_keys()
        asyncio.run(check_external({"CAConfig": spec}, current, certifier.introduction("", keys), NOW))
    except SwarmctlError as error:
        return error.problems[0].why.partition("desc = ")[2]
    return ""


def test_a_root_without_its_key_needs_somebody_who_signs(node: Node) -> None:
    own, root, other = make_root(NOW), make_root(NOW), make_root(NOW)
    text = "there must be at least one valid, reachable external CA corresponding to the {} CA certificate"
    with an_external_authority(root, node.folder) as authority:
        external = {"Protocol": "cfssl", "URL": authority.url, "CACert": root.certificate}
        given = {"SigningCACert": root.certificate, "ExternalCAs": [external]}
        elsewhere = Root(root.certificate, "")
        cases = [
            (given, own, ""),
            ({**given, "ExternalCAs": [{**external, "CACert": ""}]}, own, text.format("desired")),
            ({**given, "ExternalCAs": []}, own, text.format("desired")),
            ({"ExternalCAs": [{**external, "URL": "https://127.0.0.1:1/"}]}, own, ""),  # its own key is there
            ({"ExternalCAs": [{**external, "CACert": ""}]}, elsewhere, ""),
            ({}, elsewhere, text.format("current")),
            ({"SigningCACert": own.certificate, "SigningCAKey": own.key}, elsewhere, text.format("current")),
            ({**given, "SigningCACert": own.certificate, "SigningCAKey": own.key}, elsewhere, ""),
            ({**given, "SigningCACert": other.certificate}, elsewhere, text.format("desired")),
        ]
        assert [refused(spec, current, node.certifier) for spec, current, _ in cases] == [text for _, _, text in cases]
        assert authority.asked == []


def test_from_one_external_ca_to_another_there_is_no_way(node: Node) -> None:
    one, two = make_root(NOW), make_root(NOW)
    with an_external_authority(one, node.folder) as first, an_external_authority(two, node.folder) as second:
        named = [
            {"URL": first.url, "CACert": one.certificate},
            {"URL": second.url, "CACert": two.certificate},
        ]
        spec = {"SigningCACert": two.certificate, "ExternalCAs": named}
        told = refused(spec, Root(one.certificate, ""), node.certifier)
        assert told == "rotating from one external CA to a different external CA is not supported"
