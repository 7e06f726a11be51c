"""What systemd is told: one datagram to the socket that it names, or nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reconciler.adapters import service_manager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_socket_that_is_named_gets_the_state(tmp_path: Path, is_abstract: bool) -> None:
    name = f"@{tmp_path}/notify" if is_abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1))
        manager.settimeout(60)
        service_manager.tell({"NOTIFY_SOCKET": name}, service_manager.READY)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_socket_that_we_know_nothing_is_sent(environment: dict[str, str]) -> None:
    service_manager.tell(environment, service_manager.READY)


def test_a_manager_that_is_gone_is_no_reason_to_end(tmp_path: Path) -> None:
    service_manager.tell({"NOTIFY_SOCKET": f"{tmp_path}/nobody"}, service_manager.STOPPING)
