"""Subnets as texts."""

from __future__ import annotations

import ipaddress


def plain_subnet(text: str) -> str:
    """Return a subnet without the bits after its prefix: 10.0.9.5/24 is 10.0.9.0/24; what is none stays as it is.

    Engines of 20.10 take and keep such bits, newer ones refuse them; the network is the same.
    """
    try:
        return str(ipaddress.ip_network(text, strict=False)) if "/" in text else text
    except ValueError:
        return text
