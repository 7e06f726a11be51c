"""What Readies ask to be written: one sync at a time, for all that came during the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from reconciler.adapters.raft.disk_worker import DiskWorker
from reconciler.adapters.raft.log import DurableLog
from reconciler.consensus.outputs import Envelope, Ready


class Persister:
    """Hands Readies to the disk in their order, and sends their `messages_after` when they are synced."""

    def __init__(
        self,
        worker: DiskWorker,
        synced: Callable[[tuple[Ready, ...]], None],
        send: Callable[[tuple[Envelope, ...]], None],
    ) -> None:
        """`synced` is told of Readies, in their order; it sees to their `messages_after`. `send` is for those that had
        nothing to write.
        """
        self._worker = worker
        self._tell = synced
        self._send = send
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
    def is_syncing(self) -> bool:
        """Whether the disk is at work."""
        return self._is_syncing

    @property
    def has_followers(self) -> bool:
        """Whether something that `then` was given is still to be called."""
        return bool(self._followers)

    def begin(self) -> None:
        """Begin a sync unless one is under way, or there is nothing to write."""
        if self._is_syncing or not self._waiting:
            return
        waiting = self._waiting
        while waiting and not waiting[0].must_sync:
            ready = waiting.popleft()
            self._send(ready.messages_after)
            self._follow(ready.number)
        if not waiting:
            return
        taken = tuple(waiting)
        waiting.clear()
        unwritten = deque(taken)
        self._is_syncing = True
        self._worker.submit(lambda durable: _write(durable, unwritten), lambda _: self._synced(taken))

    def _synced(self, taken: tuple[Ready, ...]) -> None:
        self._is_syncing = False
        self._tell(taken)
        self._follow(taken[-1].number)

    def _follow(self, number: int) -> None:
        while self._followers and self._followers[0][0] <= number:
            self._followers.popleft()[1]()


def _write(durable: DurableLog, unwritten: deque[Ready]) -> None:
    """Write and sync. After a full disk it is called again, and goes on where it was."""
    while unwritten:
        ready = unwritten[0]
        if ready.hard_state is not None:
            durable.save_hard_state(ready.hard_state)
        durable.append(ready.entries)
        unwritten.popleft()
    durable.sync()
