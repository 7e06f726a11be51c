"""What Readies ask to be written: one sync at a time, for all that came during the one before."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from reconciler.adapters.raft.disk_worker import DiskWorker
from reconciler.adapters.raft.log import DurableLog
from reconciler.consensus.outputs import Envelope, Ready

QUICK_S = 0.002
"""A disk that has taken no longer lately is waited for: a thread, and two wake-ups, would take as long again."""
_FADING = 0.9
"""What is left, after each sync, of how slow one was: one of 20 ms counts for 22 syncs, one of 2 s for 66."""


class Persister:
    """Hands Readies to the disk in their order, and sends their `messages_after` when they are synced."""

    def __init__(
        self,
        worker: DiskWorker,
        synced: Callable[[tuple[Ready, ...]], None],
        send: Callable[[tuple[Envelope, ...]], None],
        go_on: Callable[[], None],
    ) -> None:
        """`synced` is told of Readies, in their order; it sees to their `messages_after`. `send` is for those that had
        nothing to write. `go_on` follows when the thread has synced: there may be more to do.
        """
        self._worker = worker
        self._tell = synced
        self._send = send
        self._go_on = go_on
        self._pace_s = 1.0
        self.may_wait = False
        """Whether syncs may be done in place where the disk is quick: nothing else has to be done meanwhile."""
        self._waiting: deque[Ready] = deque()
        self._followers: deque[tuple[int, Callable[[], None]]] = deque()
        self._newest = 0
        self._is_syncing = False

    def add(self, ready: Ready) -> None:
        """Take a Ready that has something to write, or to send after what was to be written before."""
        self._waiting.append(ready)
        self._newest = ready.number

    def then(self, follow: Callable[[], None]) -> None:
        """Call `follow` when all Readies that were added up to now are synced, and what came here before is called; at
        once if so.
        """
        if self._is_syncing or self._waiting or self._followers:
            self._followers.append((self._newest, follow))
        else:
            follow()

    @property
    def is_idle(self) -> bool:
        """Whether the disk's thread is free for a sync. Syncs in place are none of its."""
        return not self._is_syncing and not self.is_in_place

    @property
    def has_followers(self) -> bool:
        """Whether something that `then` was given is still to be called."""
        return bool(self._followers)

    @property
    def is_in_place(self) -> bool:
        """Whether `sync_at_once` does it; the later it is called, the more shares a sync."""
        return self.may_wait and self._pace_s <= QUICK_S

    def sync_at_once(self) -> bool:
        """Write and sync what waits, before this returns, unless the disk is slow or at work. Returns whether."""
        if self._is_syncing or not self._waiting or not self.is_in_place or not (taken := self._take()):
            return False
        unwritten = deque(taken)
        if not self._worker.attempt(lambda durable: self._keep_pace(_write(durable, unwritten))):
            self._submit(taken, unwritten)
            return False
        self._tell(taken)
        self._follow(taken[-1].number)
        return True

    def begin(self) -> None:
        """Begin a sync in the thread unless one is under way, or there is nothing to write."""
        if not self._is_syncing and self._waiting and (taken := self._take()):
            self._submit(taken, deque(taken))

    def _take(self) -> tuple[Ready, ...]:
        """Take what waits for a sync; what has nothing to wait for any more goes on."""
        waiting = self._waiting
        while waiting and not waiting[0].must_sync:
            ready = waiting.popleft()
            self._send(ready.messages_after)
            self._follow(ready.number)
        taken = tuple(waiting)
        waiting.clear()
        return taken

    def _submit(self, taken: tuple[Ready, ...], unwritten: deque[Ready]) -> None:
        self._is_syncing = True
        self._worker.submit(lambda durable: _write(durable, unwritten), lambda took_s: self._synced(taken, took_s))

    def _synced(self, taken: tuple[Ready, ...], took_s: float) -> None:
        self._is_syncing = False
        self._keep_pace(took_s)
        self._tell(taken)
        self._go_on()
        self._follow(taken[-1].number)

    def _keep_pace(self, took_s: float) -> None:
        self._pace_s = max(took_s, self._pace_s * _FADING)

    def _follow(self, number: int) -> None:
        while self._followers and self._followers[0][0] <= number:
            self._followers.popleft()[1]()


def _write(durable: DurableLog, unwritten: deque[Ready]) -> float:
    """Write and sync; return how long it took, in seconds. After a full disk it is called again, and goes on where it
    was.
    """
    began_s = time.monotonic()
    while unwritten:
        ready = unwritten[0]
        if ready.hard_state is not None:
            durable.save_hard_state(ready.hard_state)
        durable.append(ready.entries)
        unwritten.popleft()
    durable.sync()
    return time.monotonic() - began_s
