"""The machine's list of time zones."""

from __future__ import annotations

from datetime import tzinfo


def zone_named(name: str) -> tzinfo | None:
    """Return the time zone of a name such as "Europe/Berlin", or None where the machine doesn't know it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - few repositories name one

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
