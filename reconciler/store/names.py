"""Which names Swarm takes for services and networks."""

from __future__ import annotations

import re

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
NAME_LENGTH_MAX = 63


def is_dns_name(name: str) -> bool:
    """Return whether `name` can be a DNS name component, as Swarm has it (underscores allowed inside)."""
    return bool(_DNS_NAME.fullmatch(name))
