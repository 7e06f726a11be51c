"""Snapshots: whole and equal, or refused."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from random import Random

import pytest
from msgspec.structs import replace

from reconciler.model.commands import CreateSecret, PutRecord
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.transactions import Transaction
from reconciler.store import machine, snapshot
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State
from tests.fakes.log_entries import LogMaker, sizes
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec

OBJECTS = int(os.environ.get("STORE_OBJECTS", "10000"))
"""Of the measurement. The aims are for 100,000, which takes half a minute to set up on a busy machine."""

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def a_state(entries: int = 800, seed: int = 3) -> State:
    state, maker = State(), LogMaker(Random(seed))
    for index in range(1, entries + 1):
        machine.apply(state, index, maker.entry(state))
    return state


def add_records(state: State, count: int, client: str) -> None:
    """Put `count` records of 500 B into the state, in one entry."""
    puts = [PutRecord(at=NOW, namespace="bulk", key=f"{client}/{n:06}", value=bytes(500)) for n in range(count)]
    entry = encode_entry([encode_transaction(Transaction(client, 1, tuple(puts)))])
    machine.apply(state, state.index + 1, entry)


def code_of(data: bytes) -> ErrorCode:
    with pytest.raises(SwarmctlError) as caught:
        snapshot.decode([data])
    return caught.value.code


def test_a_snapshot_comes_back_as_it_was() -> None:
    state = a_state()
    assert min(sizes(state)) > 0
    again = snapshot.decode(snapshot.encode(state))
    assert again.tables == state.tables
    assert [list(getattr(again.tables, name)) for name in ("tasks", "records")] == [
        list(getattr(state.tables, name)) for name in ("tasks", "records")
    ]
    assert again.tables.indexes == state.tables.indexes
    assert (again.sessions.by_client, again.sessions.count) == (state.sessions.by_client, state.sessions.count)
    assert list(again.sessions.by_client) == list(state.sessions.by_client)
    assert list(snapshot.encode(again)) == list(snapshot.encode(state))


def test_an_empty_state_has_a_snapshot_too() -> None:
    assert snapshot.decode(snapshot.encode(State())).tables == State().tables


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
def test_chunks_may_be_cut_anywhere(size: int) -> None:
    state = a_state(300)
    data = b"".join(snapshot.encode(state))
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    assert snapshot.checksum(snapshot.decode(chunks)) == snapshot.checksum(state)


def test_every_changed_byte_is_found() -> None:
    data = b"".join(snapshot.encode(a_state(150)))
    chance = Random(1)
    for position in [
        *range(400),
        *(chance.randrange(len(data)) for _ in range(600)),
        *range(len(data) - 40, len(data)),
    ]:
        harmed = bytearray(data)
        harmed[position] ^= 1 << chance.randrange(8)
        code = code_of(bytes(harmed))
        assert code is ErrorCode.SNAPSHOT_CORRUPT or (position in (8, 9) and code is ErrorCode.SNAPSHOT_TOO_NEW)


def test_a_snapshot_that_is_cut_off_or_goes_on_is_refused() -> None:
    data = b"".join(snapshot.encode(a_state(60)))
    for end in (*range(0, len(data), 37), len(data) - 1):
        assert code_of(data[:end]) is ErrorCode.SNAPSHOT_CORRUPT
    assert code_of(data + b"\0") is ErrorCode.SNAPSHOT_CORRUPT
    assert code_of(b"") is ErrorCode.SNAPSHOT_CORRUPT


def test_a_newer_format_is_refused_by_name() -> None:
    data = bytearray(b"".join(snapshot.encode(State())))
    data[9] = 2
    with pytest.raises(SwarmctlError, match="format 2") as caught:
        snapshot.decode([bytes(data)])
    assert caught.value.code is ErrorCode.SNAPSHOT_TOO_NEW
    data[9] = 0
    assert code_of(bytes(data)) is ErrorCode.SNAPSHOT_CORRUPT


def test_a_frozen_state_stays_while_the_state_moves_on() -> None:
    state, maker = State(), LogMaker(Random(4))
    for index in range(1, 301):
        machine.apply(state, index, maker.entry(state))
    at_once = list(snapshot.encode(state))
    chunks = snapshot.encode(snapshot.freeze(state))
    slowly = [next(chunks)]
    for index in range(301, 601):
        machine.apply(state, index, maker.entry(state))
        if index % 50 == 0 and (chunk := next(chunks, None)) is not None:
            slowly.append(chunk)
    assert [*slowly, *chunks] == at_once
    assert list(snapshot.encode(state)) != at_once


def test_tasks_of_one_template_share_it_again() -> None:
    swarm = VirtualSwarm()
    for number in range(2):
        swarm.create(
            service_spec(f"web{number}", replicas=20, task={"ContainerSpec": {"Image": "app:1", "Env": ["x" * 999]}})
        )
    swarm.settle()
    state = State(tables=swarm.tables)
    data = list(snapshot.encode(state))
    assert b"".join(data).count(b"x" * 999) == 3  # one for each service, one for all tasks
    again = snapshot.decode(data)
    assert len({id(task.spec) for task in again.tables.tasks.values()}) == 1


def test_equal_specs_are_written_once_even_when_they_are_two_objects() -> None:
    swarm = VirtualSwarm()
    swarm.create(service_spec(replicas=3))
    swarm.settle()
    one, other = State(tables=swarm.tables), snapshot.decode(snapshot.encode(State(tables=swarm.tables)))
    for task_id, task in one.tables.tasks.items():
        one.tables.tasks[task_id] = replace(task, spec=dict(task.spec))
    assert list(snapshot.encode(one)) == list(snapshot.encode(other))


def test_secrets_are_in_snapshots_in_clear() -> None:
    """Encryption at rest belongs to whoever stores them; this test is here so that nobody believes otherwise."""
    state = State()
    create = CreateSecret(at=NOW, id="s", spec={"Name": "s", "Data": "aHVudGVyMg=="})
    machine.apply(state, 1, encode_entry([encode_transaction(Transaction("c", 1, (create,)))]))
    assert b"aHVudGVyMg==" in b"".join(snapshot.encode(state))


def test_many_objects_of_500_bytes_are_frozen_encoded_and_read_within_the_aims() -> None:
    state = State()
    for batch in range(OBJECTS // 1000):
        add_records(state, 1000, f"b{batch}")
    assert len(state.tables.records) == OBJECTS
    froze = min(_seconds_to_freeze(state) for _ in range(3))
    begun = time.process_time()
    chunks = list(snapshot.encode(state))
    encoded = time.process_time()
    again = snapshot.decode(chunks)
    decoded = time.process_time()
    print(f"{OBJECTS} objects: freeze {froze:.4f} s, encode {encoded - begun:.3f} s, decode {decoded - encoded:.3f} s")
    assert again.tables == state.tables
    assert froze < 0.02
    assert decoded - encoded < 2


def _seconds_to_freeze(state: State) -> float:
    begun = time.process_time()
    snapshot.freeze(state)
    return time.process_time() - begun
