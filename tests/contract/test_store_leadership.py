"""The contract of the replicated store: who leads, from when to when, and how that is handed over."""

from __future__ import annotations

import asyncio

from reconciler.model.commands import Applied, Rejected
from reconciler.model.errors import ErrorCode
from tests.contract.store_subject import NAMES, StoreGroup, put, refusing


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
