"""Ports that nobody has: for a moment, until whoever asked takes them."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return one of 127.0.0.1."""
    return free_ports(1, kind)[0]


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return different ones of 127.0.0.1."""
    with ExitStack() as taken:
        probes = [taken.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
