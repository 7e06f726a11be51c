"""What `swarmctl history` shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One apply. `failed` maps scopes to what went wrong."""

    at: datetime
    commit: str
    author: str
    subject: str
    scopes: tuple[str, ...]
    actions: int
    failed: Mapping[str, str]
