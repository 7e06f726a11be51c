"""The contract of the replicated store: members that join, and members that are removed."""

from __future__ import annotations

import asyncio
import math

from reconciler.model.errors import ErrorCode
from tests.contract.store_subject import StoreGroup, put, refusing


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
