"""Members whose log is older than those that lead: they find them, and stay with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from reconciler.adapters.raft.search import Search
from reconciler.model.replication import Address
from tests.contract.store_subject import QUICK, CoreGroup


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[CoreGroup]:
    made = CoreGroup(tmp_path)
    made.consensus = msgspec.structs.replace(QUICK, message_bytes_max=500, inflight_messages_max=1)
    await made.found()
    yield made
    await made.close()


async def joined(group: CoreGroup, name: str) -> None:
    """Let a new member in, and wait until it counts."""
    await group.join(name)
    await group.until(
        f"{name} is a voter",
        lambda: any(one.id == name and one.voter for store in group.stores.values() for one in store.members()),
    )
    await group.stores[name].read_barrier()


async def removed(group: CoreGroup, name: str) -> None:
    if await group.leader() == name:
        await group.at_leader(lambda leader: leader.hand_over())
    await group.at_leader(lambda leader: leader.remove_member(name))
    group.stores.pop(name)
    await group.runs.pop(name)


async def test_a_new_member_stays_with_a_leader_of_which_it_hears_last(group: CoreGroup) -> None:
    """What comes first tells of the members at the beginning: the leader is none of those."""
    for number in range(20):
        await group.put("node-1", f"key-{number}", bytes(100))
    await joined(group, "node-4")
    if await group.leader() != "node-4":
        await group.at_leader(lambda leader: leader.hand_over("node-4"))
    assert await group.leader() == "node-4"
    await joined(group, "node-5")
    assert group.value("node-5", "key-19") == bytes(100)


async def test_a_member_that_was_away_while_all_others_were_replaced_comes_back(group: CoreGroup) -> None:
    await group.stop("node-3")
    await joined(group, "node-4")
    await removed(group, "node-1")
    await joined(group, "node-5")
    await removed(group, "node-2")
    await group.put("node-4", "x", b"1")
    group.named = ("node-3", "node-4", "node-5")
    await group.start("node-3")
    await group.until("it has what was written meanwhile", lambda: group.value("node-3", "x") == b"1")
    await group.kill("node-4")
    await group.put("node-3", "x", b"2")
    await group.same_everywhere()


def test_who_is_named_is_looked_for_when_nobody_leads_for_long_and_not_when_removed() -> None:
    here, gone = Address("here", 1), Address("gone", 1)
    search = Search({"here": here, "gone": gone}, 2.0, lambda node: node == "gone")
    assert not search.listen("", 10.0)
    assert not search.listen("", 14.0)
    assert search.wanted == {}
    assert search.listen("", 14.1)
    assert search.wanted == {"here": here}
    assert not search.listen("", 100.0)
    assert search.listen("here", 101.0)
    assert search.wanted == {}
    assert not search.listen("", 105.0)
