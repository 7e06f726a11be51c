"""The clock of a member."""

from __future__ import annotations

import time


def boot_clock() -> float:
    """Seconds since the machine was started, those of its sleep included: a leader that slept must know."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
