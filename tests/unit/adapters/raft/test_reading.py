"""What entries say, read ahead."""

from __future__ import annotations

from reconciler.adapters.raft.reading import ReadAhead
from reconciler.consensus.values import Entry, EntryKind
from reconciler.store.codec import encode_entry
from reconciler.store.machine import read

DATA = encode_entry([b"a transaction"])


def entry(index: int, kind: EntryKind = EntryKind.NORMAL) -> Entry:
    return Entry(index, 1, kind, bytes(bytearray(DATA)))


def test_an_entry_that_was_read_is_not_read_again_and_only_once_at_hand() -> None:
    ahead, one = ReadAhead(), entry(7)
    ahead.read([entry(6, EntryKind.NOOP), one])
    said = ahead.take(one)
    assert isinstance(said, list)
    assert len(said) == len(read(DATA)) == 1  # type: ignore[arg-type]
    assert ahead.take(one) is None
    assert ahead.take(entry(6, EntryKind.NOOP)) is None


def test_another_entry_in_its_place_is_read_when_it_is_applied() -> None:
    ahead = ReadAhead()
    ahead.read([entry(7)])
    assert ahead.take(entry(7)) is None, "equal bytes, but not the same: another leader's"


def test_entries_that_are_never_applied_are_forgotten() -> None:
    ahead = ReadAhead()
    for index in range(1, 1_000):
        ahead.read([entry(index)])
    newest = entry(1_000)
    ahead.read([newest])
    assert ahead.take(newest) is not None
    assert sum(ahead.take(entry(index)) is not None for index in range(1_000)) == 0
    assert len(ahead._said) < 10
