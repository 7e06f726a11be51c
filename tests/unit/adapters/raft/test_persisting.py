"""In which order Readies are written, and what follows them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.adapters.raft import persisting
from reconciler.adapters.raft.persisting import QUICK_S, Persister
from reconciler.consensus.outputs import Envelope, Ready
from reconciler.consensus.values import Entry, EntryKind, HardState, ReadReply


class SlowWorker:
    """A thread whose jobs end when the test says so."""

    def __init__(self, durable: Log) -> None:
        self.jobs: list[tuple[Callable[[Any], Any], Callable[[Any], None]]] = []
        self.durable = durable
        self.fails = False

    def submit(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((work, done))

    def attempt(self, work: Callable[[Any], Any]) -> bool:
        if self.jobs or self.fails:
            return False
        work(self.durable)
        return True

    def finish(self, durable: Log) -> None:
        work, done = self.jobs.pop(0)
        done(work(durable))


class Log:
    def __init__(self) -> None:
        self.story: list[str] = []
        self.now_s = 0.0
        self.sync_s = 0.0001

    def save_hard_state(self, state: HardState) -> None:
        self.story.append(f"term {state.term}")

    def append(self, entries: tuple[Entry, ...]) -> None:
        self.story += [f"entry {entry.index}" for entry in entries]

    def sync(self) -> None:
        self.story.append("sync")
        self.now_s += self.sync_s


def entry(index: int) -> Entry:
    return Entry(index, 1, EntryKind.NORMAL, b"")


def after(name: str) -> tuple[Envelope, ...]:
    return (Envelope(name, ReadReply(1, 1, 1)),)


def a_persister() -> tuple[Persister, SlowWorker, Log]:
    log = Log()
    worker = SlowWorker(log)

    def synced(readies: tuple[Ready, ...]) -> None:
        log.story.append(f"persisted {readies[-1].number}")
        for ready in readies:
            send(ready.messages_after)

    def send(messages: tuple[Envelope, ...]) -> None:
        log.story += [f"to {one.to}" for one in messages]

    return Persister(worker, synced, send, lambda: None), worker, log  # type: ignore[arg-type]


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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> tuple[Persister, SlowWorker, Log]:
    """One that does its syncs in place, since the disk has been quick for long enough."""
    persister, worker, log = a_persister()
    monkeypatch.setattr(persisting, "time", SimpleNamespace(monotonic=lambda: log.now_s))
    persister.may_wait = True
    for number in range(1, 100):
        assert persister.is_in_place == (number >= 60)
        persister.add(Ready(number, entries=(entry(number),)))
        if not persister.sync_at_once():
            persister.begin()
            worker.finish(log)
    log.story.clear()
    return persister, worker, log


def test_a_quick_disk_is_waited_for_and_answers_go_before_what_follows(quick):
    persister, worker, log = quick
    persister.add(Ready(100, entries=(entry(100),), messages_after=after("a")))
    persister.then(lambda: log.story.append("applied"))
    persister.add(Ready(101, entries=(entry(101),)))
    assert persister.sync_at_once()
    assert not worker.jobs
    assert log.story == ["entry 100", "entry 101", "sync", "persisted 101", "to a", "applied"]
    assert not persister.sync_at_once(), "nothing waits"


def test_one_slow_sync_and_the_thread_does_the_next_ones(quick):
    persister, worker, log = quick
    log.sync_s = 2 * QUICK_S
    persister.add(Ready(100, entries=(entry(100),)))
    assert persister.sync_at_once()
    persister.add(Ready(101, entries=(entry(101),)))
    assert not persister.sync_at_once()
    persister.begin()
    worker.finish(log)
    assert log.story == ["entry 100", "sync", "persisted 100", "entry 101", "sync", "persisted 101"]


def test_a_leader_never_waits_for_its_disk(quick):
    persister, worker, _ = quick
    persister.may_wait = False
    persister.add(Ready(100, entries=(entry(100),)))
    assert not persister.sync_at_once()
    persister.begin()
    assert len(worker.jobs) == 1


def test_what_can_not_be_written_in_place_is_given_to_the_thread_once(quick):
    persister, worker, log = quick
    worker.fails = True
    persister.add(Ready(100, entries=(entry(100),), messages_after=after("a")))
    assert not persister.sync_at_once()
    persister.begin()
    assert (len(worker.jobs), log.story) == (1, [])
    worker.finish(log)
    assert log.story == ["entry 100", "sync", "persisted 100", "to a"]
