"""Telling the service manager that began this process how it is: sd_notify(3), where systemd asked for it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

import structlog

log = structlog.stdlib.get_logger(__name__)

READY: Final = "READY=1"
"""It does its work: `systemctl start` returns."""
STOPPING: Final = "STOPPING=1"
"""It was told to end, and hands over."""
SEND_S: Final = 1.0
"""Seconds for one message: who began us must not hold us up."""


def tell(environment: Mapping[str, str], state: str) -> None:
    """Send `state` to the socket that NOTIFY_SOCKET names; nothing where there is none.

    A message that can't be sent is logged, and no more: by then systemd ends us, or nobody listens.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # "@" stands for the zero byte of an abstract address.
    target = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
            sending.settimeout(SEND_S)
            sending.sendto(state.encode(), target)
    except OSError as error:
        log.warning("service manager not told", state=state, why=error.strerror or type(error).__name__)
