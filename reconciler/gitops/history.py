"""What `swarmctl history` shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec


class HistoryEntry(msgspec.Struct, frozen=True):
    """One apply. `failed` maps scopes to what went wrong."""

    at: datetime
    commit: str
    author: str
    subject: str
    scopes: tuple[str, ...]
    actions: int
    failed: Mapping[str, str]
