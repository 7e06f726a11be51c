"""Who finds its engine silent, and who gives way to whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from reconciler.controller.loop import pulse as pulses
from reconciler.controller.loop.leader import Leader
from reconciler.controller.loop.ports import Store
from reconciler.controller.loop.pulse import Calls, Pulse
from reconciler.controller.loop.state_records import Memory
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address, Member, Standing
from tests.fakes.memory_store import MemoryStore
from tests.unit.controller.loop.shell import until
from tests.unit.gitops.story import START


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"PULSE_S": 0.02, "AGAIN_S": 0.001, "SLOW_CALL_S": 0.002, "SILENT_S": 0.02}.items():
        monkeypatch.setattr(pulses, name, seconds)
    monkeypatch.setattr(pulses, "_LOOK_S", 0.001)


@dataclass
class Asked:
    """An engine that is asked, and the controller that asks."""

    alive: bool = True
    asks: int = 0
    lost: int = 0
    calls: Calls = field(default_factory=Calls)
    memory: Memory = field(default_factory=lambda: Memory(cast(Store, MemoryStore()), lambda: START))

    async def answers(self, within_s: float) -> bool:
        self.asks += 1
        await asyncio.sleep(0)
        return self.alive

    def _lost(self) -> None:
        self.lost += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Asked]:
        pulse = Pulse("c1", self.memory, self.calls, self.answers, self._lost)
        task = asyncio.create_task(pulse.run())
        try:
            yield self
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_an_engine_that_gives_no_sign_of_life_is_noted_and_taken_back_once_it_does():
    asked = Asked(alive=False)
    async with asked.running():
        await until(lambda: asked.memory.blind() == {"c1"}, "it is noted")
        await until(lambda: asked.lost, "and told")
        assert asked.asks >= pulses.SILENT_ASKS
        asked.alive = True
        await until(lambda: not asked.memory.blind(), "it is taken back")
        lost, asks = asked.lost, asked.asks
        await until(lambda: asked.asks >= asks + 3, "it is asked on")
        assert asked.lost == lost


async def test_one_slow_call_of_an_engine_that_lives_is_no_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pulses, "PULSE_S", 3600.0)
    asked = Asked()
    async with asked.running():
        with asked.calls.out():
            await until(lambda: asked.asks >= 20, "it is asked again and again")
        assert (asked.lost, asked.memory.blind()) == (0, frozenset())
        asks = asked.asks
        await asyncio.sleep(0.05)
        assert asked.asks <= asks + 1, "nothing is out any more"


async def test_an_engine_that_answers_other_calls_needs_no_sign_of_life():
    asked = Asked(alive=False)

    async def calls() -> None:
        while True:
            with asked.calls.out():
                await asyncio.sleep(0)

    async with asked.running():
        calling = asyncio.create_task(calls())
        await asyncio.sleep(0.2)
        calling.cancel()
        assert (asked.lost, asked.memory.blind()) == (0, frozenset())


def test_a_refusal_is_an_answer_and_a_deadline_is_none():
    async def story() -> list[bool]:
        found = []
        for error in (None, _refused(passing=False), _refused(passing=True)):
            calls = Calls()
            try:
                with calls.out():
                    if error is not None:
                        raise error
            except SwarmctlError:
                pass
            assert calls.oldest_s() == 0.0
            found.append(calls.answered_s > 0)
        return found

    assert asyncio.run(story()) == [True, True, False]


def _refused(*, passing: bool) -> SwarmctlError:
    return SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "No.", passing=passing)


class GroupStore(MemoryStore):
    """Three members; the first one leads. `taken` is whom it was handed to."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str | None] = []
        self.epoch = 7
        self.refuses: set[str | None] = set()

    @property
    def standing(self) -> Standing:
        return Standing("c1", 1, self.epoch)

    def members(self) -> tuple[Member, ...]:
        return tuple(Member(name, Address("", 0), True, name == "c1") for name in ("c1", "c2", "c3"))

    async def hand_over(self, member: str | None = None) -> None:
        if member in self.refuses:
            raise SwarmctlError(ErrorCode.RAFT_CHANGE_REFUSED, "It is behind.")
        self.taken.append(member)


async def given_way(store: GroupStore, *blind: str) -> list[str | None]:
    """To whom a leader gives way whose engine is silent, when others are blind as well."""
    memory = Memory(store, lambda: START)  # type: ignore[arg-type]
    for name in ("c1", *blind):
        await memory.note_blind(name, is_blind=True)
    leader = Leader("c1", store, memory, [], None, None, None)  # type: ignore[arg-type]
    for _ in range(3):
        leader._engine_lost()
        await asyncio.sleep(0.01)
    return store.taken


@pytest.mark.parametrize(
    ("blind", "taken"), [((), [None]), (("c2",), ["c3"]), (("c2", "c3"), []), (("c3", "gone"), ["c2"])]
)
async def test_a_blind_leader_gives_way_once_and_to_nobody_who_is_blind(blind, taken):
    assert await given_way(GroupStore(), *blind) == taken


async def test_who_does_not_lead_has_nothing_to_give_way_with():
    store = GroupStore()
    store.epoch = 0
    assert await given_way(store) == []


async def test_a_leader_that_nobody_could_take_over_from_tries_again():
    store = GroupStore()
    store.refuses = {None}
    assert await given_way(store) == []
    store.refuses = set()
    assert await given_way(store) == [None]
