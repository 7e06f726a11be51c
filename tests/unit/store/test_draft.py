"""A draft reads like the table that it will become; indexes follow every write."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.tables import KeyValueRecord, Tables
from reconciler.store import machine
from reconciler.store.draft import Draft
from reconciler.store.indexes import indexes_of
from reconciler.store.machine import State
from tests.fakes.log_entries import LogMaker

KEYS = st.sampled_from("abcdef")
STEPS = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=20)


def record(key: str, version: int) -> KeyValueRecord:
    return KeyValueRecord("n", key, b"", version)


@given(st.lists(KEYS, unique=True), STEPS)
def test_a_draft_iterates_like_the_dict_it_becomes(present: list[str], steps: list[tuple[str, int | None]]) -> None:
    tables, model = Tables(), {f"n/{key}": record(key, 99) for key in present}
    tables.records = dict(model)
    tables.indexes = indexes_of(tables)
    draft = Draft(tables)
    for key, version in steps:
        key_id = f"n/{key}"
        if version is not None:
            draft.records[key_id] = model[key_id] = record(key, version)
        elif key_id in model:
            del draft.records[key_id], model[key_id]
        assert list(draft.records.values()) == list(model.values())
        assert [key for key in "abcdef" if f"n/{key}" in draft.records] == [
            key for key in "abcdef" if f"n/{key}" in model
        ]
        assert draft.records.get(key_id) == model.get(key_id)
    assert list(tables.records) == [f"n/{key}" for key in present]
    draft.commit([])
    assert list(tables.records.items()) == list(model.items())
    assert tables.indexes == indexes_of(tables)


def test_indexes_hold_what_a_look_at_everything_finds() -> None:
    state, maker = State(), LogMaker(Random(11))
    for index in range(1, 1500):
        machine.apply(state, index, maker.entry(state))
        tables = state.tables
        if index % 100:
            continue
        assert tables.indexes == indexes_of(tables)
        for service_id in (*tables.services, "nobody"):
            scanned = [task for task in tables.tasks.values() if task.service_id == service_id]
            assert tables.tasks_of_service(service_id) == scanned
            assert Draft(tables).tasks_of_service(service_id) == sorted(
                scanned, key=lambda one: (one.created_index, one.id)
            )
        for node_id in (*tables.nodes, ""):
            scanned = [task for task in tables.tasks.values() if task.node_id == node_id]
            scanned.sort(key=lambda task: (task.created_index, task.id))
            assert tables.tasks_on_node(node_id) == Draft(tables).tasks_on_node(node_id) == scanned
    assert len(tables.tasks) > 50
