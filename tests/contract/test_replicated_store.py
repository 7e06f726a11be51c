"""The contract of the replicated store, on every implementation of its port."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from reconciler.model.changes import TableKind
from reconciler.model.commands import Applied, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.transactions import Expectation
from tests.contract.pysyncobj_subject import PySyncObjGroup
from tests.contract.store_subject import NAMES, CoreGroup, StoreGroup, put, refusing, take

GROUPS = {"core": CoreGroup, "pysyncobj": PySyncObjGroup}


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


# --- leading


async def test_exactly_one_leads_and_its_epoch_is_the_index_of_its_claim(group: StoreGroup):
    def all_know() -> bool:
        epochs = {store.tables.leadership.epoch for store in group.stores.values()}
        return len(epochs) == 1 and any(store.may_write(max(epochs)) for store in group.stores.values())

    await group.until("all know who leads, and it may write", all_know)
    known = group.stores["node-1"].tables.leadership
    epoch = known.epoch
    for name, store in group.stores.items():
        assert store.tables.leadership == known
        assert store.may_write(epoch) is (name == known.leader)
        assert store.standing.epoch == (epoch if name == known.leader else 0)
        assert not store.may_write(epoch + 1)
        assert not store.may_write(0)


async def test_what_an_old_leader_writes_is_fenced(group: StoreGroup):
    old = await group.leader()
    epoch = group.stores[old].standing.epoch
    assert isinstance(await group.stores[old].propose([put("x", b"1")], epoch=epoch), Applied)
    await group.stores[old].hand_over()
    new = await group.leader(but=old)
    for name in (old, new):
        outcome = await group.stores[name].propose([put("x", b"2")], epoch=epoch)
        assert isinstance(outcome, Rejected)
        assert outcome.code is ErrorCode.FENCED
    assert not group.stores[old].may_write(epoch)


async def test_work_of_a_leader_has_ended_before_another_begins(group: StoreGroup):
    story: list[tuple[str, str]] = []

    def work_of(name: str):
        async def work(epoch: int) -> None:
            assert group.stores[name].standing.epoch == epoch
            story.append(("begins", name))
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                story.append(("ends", name))

        return work

    leading = [asyncio.create_task(group.stores[name].lead(work_of(name))) for name in NAMES]
    first = await group.leader()
    await group.until("the first works", lambda: story == [("begins", first)])
    await group.stores[first].hand_over()
    second = await group.leader(but=first)
    await group.until("the second works", lambda: len(story) == 3)
    group.part(second)
    await group.until("the second has stopped by itself", lambda: len(story) >= 4)
    assert not group.stores[second].may_write(group.stores[second].tables.leadership.epoch)
    third = await group.leader(but=second)
    await group.until("the third works", lambda: len(story) == 5)
    assert story == [
        ("begins", first), ("ends", first), ("begins", second), ("ends", second), ("begins", third)
    ]  # fmt: skip
    for task in leading:
        task.cancel()
    await asyncio.gather(*leading, return_exceptions=True)
    assert story[5:] == [("ends", third)]


async def test_leadership_goes_to_the_member_that_was_named(group: StoreGroup):
    leader = await group.leader()
    for heir in await group.followers():
        await group.stores[leader].hand_over(heir)
        assert group.stores[leader].standing.epoch == 0
        leader, before = heir, leader
        assert await group.leader(but=before) == heir


async def test_a_leader_goes_on_after_a_hand_over_that_nobody_waits_for(group: StoreGroup):
    leader = await group.leader()
    store, heir = group.stores[leader], (await group.followers())[0]
    epochs: list[int] = []

    async def work(epoch: int) -> None:
        epochs.append(epoch)
        await asyncio.Event().wait()

    leading = asyncio.create_task(store.lead(work))
    await group.until("it works", lambda: len(epochs) == 1)
    group.part(heir)
    await group.put(leader, "x")  # which the heir lacks: so it can't be given leadership yet
    moving = asyncio.create_task(store.hand_over(heir))
    await group.until("its work has ended", lambda: not store.standing.epoch)
    moving.cancel()
    other = asyncio.create_task(store.hand_over(heir))
    await asyncio.sleep(0.05)
    assert not store.standing.epoch, "while leadership may still go to another, nobody works"
    other.cancel()
    await asyncio.gather(moving, other, return_exceptions=True)
    await group.until("it works again", lambda: len(epochs) == 2)
    assert epochs[0] == epochs[1] == store.standing.epoch
    assert store.may_write(epochs[0])
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)


async def test_a_name_that_is_no_voters_does_not_disturb_the_leader(group: StoreGroup):
    leader = await group.leader()
    store, ended = group.stores[leader], asyncio.Event()

    async def work(epoch: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    leading = asyncio.create_task(store.lead(work))
    await asyncio.sleep(0)
    for name in ("node-9", leader):
        async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
            await store.hand_over(name)
    assert not ended.is_set()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)


async def test_whoever_waits_for_a_hand_over_is_told_when_the_member_ends(group: StoreGroup):
    leader = await group.leader()
    store, heir = group.stores[leader], (await group.followers())[0]
    group.part(heir)
    await group.put(leader, "x")
    moving = asyncio.create_task(store.hand_over(heir))
    await group.until("it is under way", lambda: not store.standing.epoch)
    await group.kill(leader)
    async with asyncio.timeout(60):
        await asyncio.gather(moving, return_exceptions=True)


async def test_only_a_leader_can_hand_over_or_change_members(group: StoreGroup):
    follower, other = await group.followers()
    async with refusing(ErrorCode.RAFT_NOT_LEADER):
        await group.stores[follower].hand_over()
    async with refusing(ErrorCode.RAFT_NOT_LEADER):
        await group.stores[follower].add_member("node-9", group.address("node-9"))
    async with refusing(ErrorCode.RAFT_NOT_LEADER):
        await group.stores[follower].remove_member(other)


async def test_an_orderly_stop_of_the_leader_hands_leadership_on(group: StoreGroup):
    leader = await group.leader()
    await group.stop(leader)
    await group.leader()
    await group.put(next(iter(group.stores)), "x", b"1")


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


# --- changing members


async def test_a_new_member_gets_everything_and_becomes_a_voter(group: StoreGroup):
    await group.put("node-1", "x", b"1")
    new = await group.join("node-4")
    leader = await group.leader()

    def is_voter() -> bool:
        return any(one.id == "node-4" and one.voter for one in group.stores[leader].members())

    await group.until("it is a voter", is_voter)
    await new.read_barrier()
    assert group.value("node-4", "x") == b"1"
    await group.put("node-4", "y", b"2")
    assert [one.id for one in new.members()] == ["node-1", "node-2", "node-3", "node-4"]
    assert next(one for one in new.members() if one.id == "node-4").address == group.address("node-4")
    async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
        await group.at_leader(lambda store: store.add_member("node-4", group.address("node-4")))


async def test_a_dead_member_is_replaced_by_an_empty_one_under_a_new_name(group: StoreGroup):
    dead = (await group.followers())[0]
    await group.kill(dead)
    leader = await group.leader()
    await group.put(leader, "x", b"1")
    await group.at_leader(lambda store: store.remove_member(dead))
    await group.join("node-4")
    await group.until("it is a voter", lambda: [one.voter for one in group.stores[leader].members()] == [True] * 3)
    await group.kill((set(group.stores) - {leader, "node-4"}).pop())
    await group.put("node-4", "x", b"2")
    async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
        await group.at_leader(lambda store: store.add_member(dead, group.address(dead)))


async def test_a_removed_member_is_told_and_ends(group: StoreGroup):
    leader = await group.leader()
    gone = (await group.followers())[0]
    store, run = group.stores[gone], group.runs[gone]
    watch = store.watch(store.tables.index)
    await group.at_leader(lambda store: store.remove_member(gone))
    async with asyncio.timeout(60):
        await run
    assert store.standing.removed
    async with refusing(ErrorCode.RAFT_REMOVED):
        await store.propose([put("x")])
    async with refusing(ErrorCode.RAFT_REMOVED):
        async for _ in watch:
            pass
    del group.stores[gone], group.runs[gone]
    await group.put(leader, "x", b"1")
    assert gone not in [one.id for one in group.stores[leader].members()]


async def test_a_member_that_a_leader_has_never_heard_is_silent_for_as_long_as_that_leads(group: StoreGroup):
    gone, leader = await group.followers()
    await group.stop(gone)
    await group.at_leader(lambda store: store.hand_over(leader))
    await group.until("the other one leads", lambda: group.stores[leader].standing.epoch)

    def silence_s() -> float:
        return next(one.silent_s or 0.0 for one in group.stores[leader].members() if one.id == gone)

    await group.until("it is silent", lambda: silence_s() > 0.1)
    assert math.isfinite(silence_s())


async def test_a_leader_that_removes_itself_hands_over_first(group: StoreGroup):
    leader = await group.leader()
    store, run = group.stores[leader], group.runs[leader]
    await store.remove_member(leader)
    async with asyncio.timeout(60):
        await run
    assert store.standing.removed
    del group.stores[leader], group.runs[leader]
    new = await group.leader()
    await group.put(new, "x", b"1")
    assert len(group.stores[new].members()) == 2


async def test_a_removal_that_leaves_no_working_majority_is_refused(group: StoreGroup):
    leader = await group.leader()
    dead, alive = await group.followers()
    await group.kill(dead)

    def is_silent() -> bool:
        silent_s = {one.id: one.silent_s for one in group.stores[leader].members()}[dead]
        return silent_s is not None and silent_s > 1.0

    await group.until("it is silent", is_silent)
    async with refusing(ErrorCode.RAFT_CHANGE_REFUSED):
        await group.stores[leader].remove_member(alive)
    await group.put(leader, "x")


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
