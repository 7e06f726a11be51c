"""The contract of the replicated store, on every implementation of its port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.model.changes import TableKind
from reconciler.model.commands import Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.transactions import Expectation
from tests.contract.store_subject import NAMES, CoreGroup, StoreGroup, put

GROUPS = {"core": CoreGroup}


@pytest.fixture(params=sorted(GROUPS))
async def group(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreGroup]:
    """Three members, which have just been started."""
    made = GROUPS[request.param](tmp_path)
    await made.found()
    try:
        yield made
    finally:
        await made.close()


# --- writing and reading


async def test_what_one_member_writes_all_members_have(group: StoreGroup):
    for name in NAMES:
        outcome = await group.put(name, f"by-{name}", name.encode())
        assert group.value(name, f"by-{name}") == name.encode(), "applied where it was asked for"
        assert outcome.index <= group.stores[name].tables.index
    await group.same_everywhere()
    assert {key for key in group.stores[NAMES[0]].tables.records if key.startswith("test/")} == {
        f"test/by-{name}" for name in NAMES
    }


async def test_a_conflict_is_an_outcome_and_changes_nothing(group: StoreGroup):
    first = await group.put("node-1", "x", b"1")
    await group.put("node-2", "x", b"2")
    stale = Expectation(TableKind.RECORD, "test/x", first.index)
    for name in NAMES:
        outcome = await group.stores[name].propose([put("x", b"3")], expectations=[stale])
        assert isinstance(outcome, Rejected)
        assert outcome.code is ErrorCode.STALE_VERSION
    assert group.value("node-3", "x") == b"2"


async def test_commands_of_one_proposal_take_effect_together_or_not_at_all(group: StoreGroup):
    outcome = await group.stores["node-1"].propose([put("a", b"1"), put("b", b"1", version=99)])
    assert isinstance(outcome, Rejected)
    assert outcome.position == 1
    assert group.value("node-1", "a") is None


async def test_many_callers_on_all_members_each_get_their_own_outcome(group: StoreGroup):
    async def write(name: str, number: int) -> None:
        outcome = await group.put(name, f"{name}-{number}", str(number).encode())
        record = group.stores[name].tables.records[f"test/{name}-{number}"]
        assert (record.value, record.version) == (str(number).encode(), outcome.index)

    await asyncio.gather(*(write(name, number) for name in NAMES for number in range(200)))
    await group.same_everywhere()
    assert len(group.stores["node-1"].tables.records_under("test")) == 600


async def test_a_barrier_on_any_member_sees_all_that_was_acknowledged_before(group: StoreGroup):
    for number in range(10):
        for reader in NAMES:
            writer = NAMES[number % 3]
            written = await group.put(writer, "x", f"{number}/{reader}".encode())
            index = await group.stores[reader].read_barrier()
            assert index >= written.index
            assert group.value(reader, "x") == f"{number}/{reader}".encode()


async def test_waiting_readers_all_get_their_answer(group: StoreGroup):
    await group.put("node-1", "x", b"1")
    indexes = await asyncio.gather(*(group.stores[name].read_barrier() for name in NAMES for _ in range(100)))
    assert all(index > 0 for index in indexes)
