"""Whatever is done to a durable log, a start finds what a model of it holds."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.adapters.raft.outline import Outline
from tests.fakes.crash_disk import CrashDisk, Died
from tests.fakes.log_model import VERBS, Contents, Model, Step, carry_out, entry, open_log, snapshot_data

NUMBERS = st.integers(0, 1 << 16)
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), NUMBERS, NUMBERS), max_size=60)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_start_finds_what_was_acknowledged(steps: list[Step]):
    disk, model = CrashDisk(), Model()
    log, loaded = open_log(disk)
    for step in [*steps, ("sync", 0, 0), ("reopen", 0, 0)]:
        if step[0] != "reopen":
            carry_out(log, model, step)
            continue
        log.close()
        log, loaded = open_log(disk, create=False)
        model.pending, model.next_state = [], model.state  # nobody synced it
        assert loaded == (model.state, model.snapshot, model.log.behind(model.snapshot).entries)
        assert log.notes == ()
        reader = log.read_snapshot()
        assert (reader and b"".join(reader)) == (model.snapshot and b"".join(snapshot_data(model.snapshot)))


@settings(max_examples=150, deadline=None)
@given(STEPS, st.lists(st.tuples(st.integers(1, 150), st.booleans()), min_size=1, max_size=3), st.integers(0, 1 << 32))
def test_crash_after_crash_nothing_acknowledged_is_lost(steps: list[Step], crashes: list[tuple[int, bool]], seed: int):
    chance = random.Random(seed)
    disk, model = CrashDisk(), Model()
    for dies_at, power_cut in crashes:
        disk.dies_at = dies_at
        try:
            log, loaded = open_log(disk)
            assert not model.why_not(loaded)
            model.adopt(loaded)
            for step in steps:
                if step[0] != "reopen":
                    carry_out(log, model, step)
        except Died:
            pass
        disk = disk.cut_power(chance) if power_cut else disk.kill()
    _, loaded = open_log(disk)
    assert not model.why_not(loaded)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 9)), max_size=40))
def test_an_outline_knows_the_terms_of_a_log(changes: list[tuple[int, int, int]]):
    outline, log = Outline(), Contents()
    for back, more, forgotten in changes:
        index = max(log.last + 1 - back, log.base + 1)
        term = (log.term_at(index - 1) or 0) + more  # may be lower than that of the entry which it replaces
        assert outline.add(index, term) == ""
        log = log.with_entries([entry(index, term)])
        if forgotten < log.last - log.base:
            index = log.base + forgotten
            known = log.term_at(index)
            assert known is not None
            outline.forget(index)
            log = Contents(index, known, log.entries[forgotten:])
        assert [outline.term_at(i) for i in range(log.last + 3)] == [log.term_at(i) for i in range(log.last + 3)]
        assert outline.last == log.last
        assert outline.copy().last_term == outline.last_term == log.term_at(log.last)
