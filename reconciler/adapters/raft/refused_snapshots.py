"""What becomes of a leader's snapshot that can't be used here: it is asked for ever more rarely, and told once."""

from __future__ import annotations

import logging

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.settings import Limits
from reconciler.model.errors import ErrorCode, SwarmctlError

log = logging.getLogger(__name__)


class RefusedSnapshots:
    """The refusals since a snapshot was last taken over. Belongs to the event loop."""

    def __init__(self, limits: Limits) -> None:
        self._first_s, self._most_s = limits.snapshot_again_s, limits.snapshot_again_max_s
        self._full_s = limits.snapshot_retry_s
        self._count = 0
        self._until_s = float("-inf")
        self._told: set[ErrorCode] = set()
        self._index = 0
        self._why = ""

    def why(self, index: int) -> str:
        """Why the last one can't be used, "" where all is well; `index` is what is applied here now.

        Who applies anything after a refusal is fed by the log again: a new leader may have more of it.
        """
        return self._why if index <= self._index else ""

    def add(self, error: SwarmctlError, now_s: float, index: int) -> float:
        """Return how many seconds none is wanted; log the reason if it is the first of its kind.

        What fails in that time is the rest of the same snapshot, which was on its way. `index` is what is applied here.
        """
        self._index = index
        if now_s < self._until_s:
            return self._until_s - now_s
        wait_s = min(self._first_s * (1 << self._count), self._most_s)
        if error.code is ErrorCode.RAFT_DISK_FULL:
            wait_s = self._full_s  # space may come back at any time, and nobody starts this member anew for it
        else:
            self._count = min(self._count + 1, _DOUBLINGS_MAX)
        self._until_s = now_s + wait_s
        refused = answers.snapshot_refused(error)
        problem = refused.problems[0]
        self._why = problem.why
        if error.code not in self._told:
            self._told.add(error.code)
            log.error("%s: %s %s %s", refused.code.value, problem.what, problem.why, problem.hint)
        return wait_s

    def taken(self) -> None:
        """One was taken over: all is well again."""
        self._count, self._until_s, self._why = 0, float("-inf"), ""
        self._told.clear()


_DOUBLINGS_MAX = 30
