"""A machine that has nothing left to do before the next measurement begins."""

from __future__ import annotations

import time
from pathlib import Path

BUSY_MAX = 0.15
"""Share of the machine's processor time."""
OVER_S = 0.5
WAIT_S = 60.0


def until_quiet() -> None:
    """Wait until what came before is over: engines tear down networks long after the last task has ended.

    A machine that others keep busy is waited for at most WAIT_S: then it is measured as it is.
    """
    deadline = time.monotonic() + WAIT_S
    busy, total = _ticks()
    while time.monotonic() < deadline:
        time.sleep(OVER_S)
        busy_now, total_now = _ticks()
        if busy_now - busy <= BUSY_MAX * (total_now - total):
            return
        busy, total = busy_now, total_now


def _ticks() -> tuple[int, int]:
    """Return the processors' ticks so far: (at work, in all). (proc(5): the first line of /proc/stat)"""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, iowait, *rest = (int(word) for word in words)
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + iowait
