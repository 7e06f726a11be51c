"""How long to wait before trying again. Pure: the jitter comes from a seed, so that a decision can be replayed."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

RETRY_FIRST_S: Final = 10.0
RETRY_MAX_S: Final = 15 * 60.0
FAILURES_MAX: Final = 10
"""Failures in a row that are counted; the wait has reached its limit long before, and a counter that stands still
is not written again."""
JITTER: Final = 0.1
"""By how much of itself a wait is made longer or shorter, so that many sources don't ask at once."""


def backed_off_s(failures: int, seed: str, *, first_s: float = RETRY_FIRST_S, max_s: float = RETRY_MAX_S) -> float:
    """Return the seconds to wait after so many failures in a row, 1 or more: doubled each time, up to `max_s`."""
    doubled = first_s * 2 ** (min(max(failures, 1), FAILURES_MAX + 10) - 1)
    return jittered_s(min(doubled, max_s), f"{seed}/{failures}")


def jittered_s(seconds: float, seed: str) -> float:
    """Return `seconds`, at most JITTER more or less."""
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
    share = int.from_bytes(digest[:4]) / 0xFFFFFFFF
    return seconds * (1 - JITTER + 2 * JITTER * share)


def after(at: datetime, seconds: float) -> datetime:
    """Return the moment `seconds` after `at`."""
    return at + timedelta(seconds=seconds)
