"""Managers that apply the same log hold the same state, whatever the log says and wherever they start from."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.commands import Applied, Rejected
from reconciler.store import machine, snapshot
from reconciler.store.codec import encode_entry
from reconciler.store.machine import State
from tests.fakes.log_entries import MARK, LogMaker, mutated, sizes

FUZZED = int(os.environ.get("STORE_FUZZ", "4000"))
"""Spoilt entries to try; STORE_FUZZ=100000 takes about a minute."""

_UNHURRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_UNHURRIED
@given(st.integers(0, 2**32), st.integers(1, 120), st.data())
def test_a_replica_from_a_snapshot_goes_on_like_the_others(seed: int, length: int, data: st.DataObject) -> None:
    maker, first, second = LogMaker(Random(seed)), State(), State()
    restored_at = data.draw(st.integers(1, length))
    for index in range(1, length + 1):
        entry = maker.entry(first)
        assert machine.apply(first, index, entry) == machine.apply(second, index, entry)
        if index == restored_at:
            second = snapshot.decode(snapshot.encode(second))
    assert list(snapshot.encode(first)) == list(snapshot.encode(second))
    assert first.tables == second.tables
    assert first.tables.indexes == second.tables.indexes


@_UNHURRIED
@given(st.integers(0, 2**32))
def test_a_log_applied_again_under_new_indexes_changes_nothing_but_the_last_uses(seed: int) -> None:
    maker, state, log = LogMaker(Random(seed)), State(), []
    for index in range(1, 60):
        log.append(maker.entry(state))
        machine.apply(state, index, log[-1])
    before, content = sizes(state), state.tables
    records = {name: dict(getattr(content, name)) for name in ("nodes", "services", "tasks", "records", "secrets")}
    for index, entry in enumerate(log, 60):
        result = machine.apply(state, index, entry)
        assert (result.changes, result.events) == ((), ())
    assert sizes(state) == before
    assert {name: dict(getattr(state.tables, name)) for name in records} == records


@_UNHURRIED
@given(st.integers(0, 2**32))
def test_a_refused_transaction_leaves_the_tables_as_they_were(seed: int) -> None:
    maker, state = LogMaker(Random(seed)), State()
    for index in range(1, 60):
        before, indexes = repr(state.tables), repr(state.tables.indexes)
        result = machine.apply(state, index, maker.entry(state))
        if not any(isinstance(outcome, Applied) for outcome in result.outcomes):
            assert repr(state.tables).replace(f"index={index}", f"index={index - 1}", 1) == before
            assert repr(state.tables.indexes) == indexes
            assert (result.changes, result.events) == ((), ())


@given(st.lists(st.binary(max_size=60), max_size=5), st.binary(max_size=60))
def test_any_bytes_are_refused(transactions: list[bytes], entry: bytes) -> None:
    state, empty = State(), State()
    for index, one in enumerate((entry, encode_entry(transactions)), 1):
        assert all(isinstance(outcome, Rejected) for outcome in machine.apply(state, index, one).outcomes)
    machine.pass_over(empty, 2)
    assert list(snapshot.encode(state)) == list(snapshot.encode(empty))


def test_spoilt_entries_never_raise_and_never_tell_a_secret() -> None:
    chance, state, applied = Random(2030), State(), 0
    maker, good = LogMaker(chance), [encode_entry([])]
    other = State()
    for index in range(1, FUZZED + 1):
        if index % 10 == 0:
            good = [*good[-50:], maker.entry(state)]
            entry = good[-1]
        else:
            entry = mutated(chance, chance.choice(good))
        result = machine.apply(state, index, entry)
        assert result == machine.apply(other, index, entry)
        assert MARK not in repr(result)
        applied += sum(isinstance(outcome, Applied) for outcome in result.outcomes)
    assert min(sizes(state)) > 0
    assert applied > FUZZED / 20
    assert list(snapshot.encode(state)) == list(snapshot.encode(other))


_SCRIPT = """
from random import Random
from reconciler.store import machine, snapshot
from tests.fakes.log_entries import LogMaker
state, maker = machine.State(), LogMaker(Random(77))
outcomes = [repr(machine.apply(state, index, maker.entry(state))) for index in range(1, 700)]
import hashlib
print(snapshot.checksum(state), hashlib.sha256("".join(outcomes).encode()).hexdigest())
"""


def test_the_same_log_gives_the_same_bytes_in_processes_that_hash_differently() -> None:
    printed = []
    for hash_seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
        done = subprocess.run([sys.executable, "-c", _SCRIPT], env=env, capture_output=True, text=True, check=True)
        printed.append(done.stdout)
    assert printed[0].strip()
    assert printed == printed[:1] * 3
