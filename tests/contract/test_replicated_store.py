"""The contract of the replicated store, on every implementation of its port: what is written, and what is lost."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from reconciler.model.changes import TableKind
from reconciler.model.commands import Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.transactions import Expectation
from tests.contract.store_subject import NAMES, StoreGroup, put, refusing, take

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


# --- watching


async def test_a_watch_tells_every_change_once_and_in_order(group: StoreGroup):
    await group.put("node-1", "before")
    await group.same_everywhere()
    store = group.stores["node-2"]
    start = store.tables.index
    async with aclosing(store.watch(start)) as watch:
        written = [(await group.put(NAMES[number % 3], f"k{number}")).index for number in range(20)]
        told = await take(watch, 20)
    assert [batch.index for batch in told] == written
    assert [change.id for batch in told for change in batch.changes] == [f"test/k{number}" for number in range(20)]
    async with aclosing(store.watch(written[9])) as resumed:
        assert await take(resumed, 10) == told[10:]


async def test_a_watch_that_is_too_far_behind_is_told_so(group: StoreGroup):
    store = group.stores["node-1"]
    await group.put("node-1", "x")
    start = store.tables.index
    slow = store.watch(start)
    await group.put("node-1", "x")
    await take(slow, 1)
    for _ in range(100):
        await group.put("node-1", "x")
    for watch in (slow, store.watch(start), store.watch(store.tables.index + 1)):
        async with refusing(ErrorCode.RAFT_WATCH_BEHIND):
            await anext(watch)


# --- losing members


async def test_any_one_member_may_be_killed_and_nothing_acknowledged_is_lost(group: StoreGroup):
    for round_number, victim in enumerate(NAMES):
        for name in NAMES:
            await group.put(name, f"{round_number}-{name}", b"kept")
        await group.kill(victim)
        survivor = next(iter(group.stores))
        await group.put(survivor, f"{round_number}-without", b"kept")
        await group.start(victim)
    await group.stores["node-1"].read_barrier()
    assert len(group.stores["node-1"].tables.records_under("test")) == 12


async def test_a_restart_of_all_keeps_everything(group: StoreGroup):
    for number in range(20):
        await group.put(NAMES[number % 3], f"k{number}", b"kept")
    for name in NAMES:
        await group.stop(name)
    for name in NAMES:
        await group.start(name)
    for name in NAMES:
        await group.stores[name].read_barrier()
        assert len(group.stores[name].tables.records_under("test")) == 20


async def test_proposals_survive_the_loss_of_the_leader_and_take_effect_once(group: StoreGroup):
    leader = await group.leader()
    follower = (await group.followers())[0]
    await group.put(follower, "n", b"")

    async def count_up(name: str, number: int) -> None:
        await group.put(name, f"once-{number}", str(number).encode())

    writing = [asyncio.create_task(count_up(follower, number)) for number in range(300)]
    await asyncio.sleep(0)
    await group.kill(leader)
    await asyncio.gather(*writing)
    versions = [group.stores[follower].tables.records[f"test/once-{number}"].version for number in range(300)]
    other = next(name for name in group.stores if name != follower)
    await group.stores[other].read_barrier()
    assert [group.stores[other].tables.records[f"test/once-{number}"].version for number in range(300)] == versions


async def keeps_its_leader_through_a_cut(group: StoreGroup) -> bool:
    leader = await group.leader()
    epoch = group.stores[leader].standing.epoch
    cut = (await group.followers())[0]
    group.part(cut)
    term = group.stores[cut].standing.term
    for number in range(10):
        await group.put(leader, f"k{number}")
    await group.until("it has noticed", lambda: not group.stores[cut].standing.leader)
    assert group.stores[cut].standing.term == term  # alone, it only asks whether it would be elected
    group.heal()
    await group.until("it follows again", lambda: group.stores[cut].standing.leader)
    await group.same_everywhere()
    return group.stores[leader].standing.epoch == epoch


async def test_a_member_that_was_cut_off_catches_up_without_ending_the_leadership(group: StoreGroup):
    """A machine that stands still for half a second ends one, too: of three cuts, one at least has to end none."""
    for _ in range(3):
        if await keeps_its_leader_through_a_cut(group):
            return
    raise AssertionError("each of three cuts has ended the leadership")


async def test_a_member_that_is_far_behind_gets_a_snapshot(group: StoreGroup):
    cut = (await group.followers())[0]
    leader = await group.leader()
    store = group.stores[cut]
    index = store.tables.index
    watch = store.watch(index)
    group.part(cut)
    for _ in range(50):
        await asyncio.gather(*(group.put(leader, f"k{number}", bytes(2000)) for number in range(20)))
        if (group.first_index(leader) or 0) > index + 1:
            break
    group.heal()
    await group.until("it has caught up", lambda: store.tables.index >= group.stores[leader].tables.index)
    await group.same_everywhere()
    async with refusing(ErrorCode.RAFT_WATCH_BEHIND):
        while True:
            await take(watch, 1)
    assert await group.put(cut, "x", b"1")


# --- when it can't go on


async def test_without_a_majority_nobody_leads_and_callers_are_told(group: StoreGroup):
    leader = await group.leader()
    epoch = group.stores[leader].standing.epoch
    for name in await group.followers():
        await group.kill(name)
    store = group.stores[leader]
    unknown = asyncio.create_task(store.propose([put("x")]))
    await group.until("it leads no more", lambda: not store.standing.leader)
    assert not store.may_write(epoch)
    sure = asyncio.create_task(store.propose([put("y")]))
    reader = asyncio.create_task(store.read_barrier())
    async with refusing(ErrorCode.RAFT_OUTCOME_UNKNOWN):
        await unknown
    async with refusing(ErrorCode.RAFT_NO_LEADER):
        await sure
    async with refusing(ErrorCode.RAFT_NO_LEADER):
        await reader


async def test_after_its_end_a_member_says_so(group: StoreGroup):
    store = group.stores["node-1"]
    await group.stop("node-1")
    async with refusing(ErrorCode.RAFT_STOPPED):
        await store.propose([put("x")])
    async with refusing(ErrorCode.RAFT_STOPPED):
        await store.read_barrier()
