"""In which order Readies are written, and what follows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.adapters.raft.persisting import Persister
from reconciler.consensus.outputs import Envelope, Ready
from reconciler.consensus.values import Entry, EntryKind, HardState, ReadReply


class SlowWorker:
    """A thread whose jobs end when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[Any], Any], Callable[[Any], None]]] = []

    def submit(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((work, done))

    def finish(self, durable: Log) -> None:
        work, done = self.jobs.pop(0)
        done(work(durable))


class Log:
    def __init__(self) -> None:
        self.story: list[str] = []

    def save_hard_state(self, state: HardState) -> None:
        self.story.append(f"term {state.term}")

    def append(self, entries: tuple[Entry, ...]) -> None:
        self.story += [f"entry {entry.index}" for entry in entries]

    def sync(self) -> None:
        self.story.append("sync")


def entry(index: int) -> Entry:
    return Entry(index, 1, EntryKind.NORMAL, b"")


def after(name: str) -> tuple[Envelope, ...]:
    return (Envelope(name, ReadReply(1, 1, 1)),)


def a_persister() -> tuple[Persister, SlowWorker, Log]:
    worker, log = SlowWorker(), Log()

    def synced(readies: tuple[Ready, ...]) -> None:
        log.story.append(f"persisted {readies[-1].number}")
        for ready in readies:
            send(ready.messages_after)

    def send(messages: tuple[Envelope, ...]) -> None:
        log.story += [f"to {one.to}" for one in messages]

    return Persister(worker, synced, send), worker, log  # type: ignore[arg-type]


def test_what_comes_during_a_sync_shares_the_next_one() -> None:
    persister, worker, log = a_persister()
    persister.add(Ready(1, entries=(entry(1),), messages_after=after("a")))
    persister.begin()
    persister.add(Ready(2, entries=(entry(2),)))
    persister.begin()
    persister.add(Ready(3, hard_state=HardState(2, ""), entries=(entry(3),), messages_after=after("b")))
    persister.begin()
    assert len(worker.jobs) == 1
    worker.finish(log)
    persister.begin()
    worker.finish(log)
    assert log.story == [
        "entry 1", "sync", "persisted 1", "to a",
        "entry 2", "term 2", "entry 3", "sync", "persisted 3", "to b",
    ]  # fmt: skip


def test_messages_with_nothing_to_write_wait_for_what_was_before_them() -> None:
    persister, worker, log = a_persister()
    persister.add(Ready(1, messages_after=after("a")))
    persister.begin()
    assert log.story == ["to a"]
    persister.add(Ready(2, entries=(entry(1),)))
    persister.begin()
    persister.add(Ready(3, messages_after=after("b")))
    persister.begin()
    assert log.story == ["to a"]
    worker.finish(log)
    persister.begin()
    assert log.story == ["to a", "entry 1", "sync", "persisted 2", "to b"]


def test_a_snapshot_waits_for_all_that_was_to_be_written_before_it() -> None:
    persister, worker, log = a_persister()
    persister.then(lambda: log.story.append("first piece"))
    persister.add(Ready(1, entries=(entry(1),)))
    persister.begin()
    persister.add(Ready(2, entries=(entry(2),)))
    persister.then(lambda: log.story.append("last piece"))
    worker.finish(log)
    assert log.story == ["first piece", "entry 1", "sync", "persisted 1"]
    persister.begin()
    worker.finish(log)
    assert log.story[4:] == ["entry 2", "sync", "persisted 2", "last piece"]
