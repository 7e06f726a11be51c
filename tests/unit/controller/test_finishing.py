"""Each stack of an apply ends by itself: how it stands is told while others are awaited, and a node's new role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from msgspec.structs import replace

from reconciler.controller import pace, run
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.convergence import Wait, Waiting
from reconciler.controller.looks import Looks
from reconciler.controller.ports import Cluster
from reconciler.controller.transactions import undo_label
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState, Stack
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType
from reconciler.model.progress import (
    ActionStatus,
    ApplyResult,
    Progress,
    ServicesProgress,
    UndoneStack,
    Verdict,
)
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.unit.controller.faulty_cluster import FaultyCluster
from tests.unit.planning.builders import HERE, actual, desired, observed, running_tasks, service_spec, wanted

FOR_EVER = ApplyOptions(timeout_s=600.0)
WAIT_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "OPEN_PAUSE_S", 0.01)
    monkeypatch.setattr(pace, "POLL_S", 0.01)


def of_stacks(*names: str, atomic: str = "", needs: dict[str, str] | None = None, image: str = "") -> DesiredState:
    """A service "api" in each stack, of which no task ever runs here."""
    more = {"Image": image} if image else {}
    specs = [(name, service_spec(f"{name}_api", stack=name, replicas=1, **more)) for name in names]
    for _, spec in specs:
        spec["TaskTemplate"].pop("Networks")
    waves = {name: tuple((needs or {}).get(name, "").split()) for name in names}
    stacks = [Stack(name, name, waves[name], HERE, atomic=atomic == name) for name in names]
    return desired(*(wanted(Kind.SERVICE, spec, stack=name) for name, spec in specs), stacks=tuple(stacks))


class Pausing(FaultyCluster):
    """Says of some services that their update has paused."""

    paused: tuple[str, ...] = ()

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        found = await super().observe(since)
        return replace(found, services=tuple(self._seen(one) for one in found.services))

    def _seen(self, one: ObservedObject) -> ObservedObject:
        if one.name not in self.paused:
            return one
        return replace(one, raw={**one.raw, "UpdateStatus": {"State": "paused", "Message": "a task failed"}})


@dataclass
class Heard:
    """What an apply has told so far."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    undone: list[UndoneStack] = field(default_factory=list)
    statuses: dict[str, ActionStatus] = field(default_factory=dict)
    result: asyncio.Task[ApplyResult] | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, step: Progress) -> None:
        if isinstance(step, ServicesProgress):
            self.verdicts |= {one.service: one.verdict for one in step.assessments}
        elif isinstance(step, UndoneStack):
            self.undone.append(step)
        else:
            self.statuses[step.action.id] = step.status
        self._moved.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                assert self.result is not None
                assert not self.result.done(), self.result
                self._moved.clear()
                await self._moved.wait()


@asynccontextmanager
async def applying(cluster: Any, state: DesiredState, *more: Action) -> AsyncIterator[Heard]:
    """Apply, and end that with the block."""
    before, heard = await cluster.observe(), Heard()
    made = plan(state, before)
    made = replace(made, actions=(*more, *made.actions))
    heard.result = asyncio.create_task(apply(made, before, cluster, FOR_EVER, heard))
    try:
        yield heard
    finally:
        heard.result.cancel()
        await asyncio.wait([heard.result])


async def test_how_a_stack_stands_is_told_while_another_one_waits_for_what_it_needs():
    cluster = Pausing(await a_quiet_swarm())
    cluster.paused = ("bad_api",)
    async with applying(cluster, of_stacks("hangs", "late", "bad", needs={"late": "hangs"})) as heard:
        await heard.until(lambda: heard.verdicts.get("bad_api") is Verdict.PAUSED)
        assert heard.statuses == {
            "service.hangs_api": ActionStatus.WAITING,
            "service.bad_api": ActionStatus.DONE,
        }


async def test_a_stack_does_not_wait_for_a_node_to_get_its_new_role(monkeypatch: pytest.MonkeyPatch):
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(run, "await_node", never)
    cluster = Pausing(await a_quiet_swarm())
    cluster.paused = ("bad_api",)
    node = (await cluster.observe()).nodes[1]
    promotes = Action(
        *("node.n2", ActionType.UPDATE, Kind.NODE, "n2", None, "role"),
        object_id=node.id,
        version=node.version,
        spec={**node.spec, "Availability": "pause"},
        read_spec=node.spec,
    )
    async with applying(cluster, of_stacks("bad"), promotes) as heard:
        await heard.until(lambda: heard.verdicts.get("bad_api") is Verdict.PAUSED)
        assert heard.statuses["node.n2"] is ActionStatus.RUNNING


async def deployed(state: DesiredState) -> Pausing:
    cluster = Pausing(await a_quiet_swarm())
    before = await cluster.observe()
    await apply(plan(state, before), before, cluster, ApplyOptions(wait=False), lambda _: None)
    return cluster


LABEL = undo_label("prod", "vault")


async def test_an_atomic_stack_goes_back_and_its_books_are_closed_while_another_one_is_awaited():
    cluster = await deployed(of_stacks("vault", atomic="vault"))
    cluster.paused = ("vault_api",)
    async with applying(cluster, of_stacks("vault", "hangs", atomic="vault", image="nginx:2")) as heard:
        await heard.until(lambda: heard.undone)
        (undone,) = heard.undone
        assert (undone.stack, undone.cause.code) == ("vault", ErrorCode.UPDATE_PAUSED)
        now = await cluster.observe()
        images = {one.name: one.spec["TaskTemplate"]["ContainerSpec"]["Image"] for one in now.services}
        assert images == {"vault_api": "nginx:1.25", "hangs_api": "nginx:2"}
        assert LABEL not in now.swarm.labels


async def test_what_is_begun_anew_on_a_stack_that_went_back_is_left_alone_by_the_apply_that_put_it_back():
    cluster = await deployed(of_stacks("vault", atomic="vault"))
    cluster.paused = ("vault_api",)
    async with applying(cluster, of_stacks("vault", "hangs", atomic="vault", image="nginx:2")) as first:
        await first.until(lambda: first.undone)
        cluster.paused = ("hangs_api",)
        async with applying(cluster, of_stacks("vault", atomic="vault", image="nginx:3")) as second:
            await second.until(lambda: "vault_api" in second.verdicts)
            assert LABEL in (await cluster.observe()).swarm.labels
            assert first.result is not None
            result = await asyncio.wait_for(first.result, WAIT_S)
            assert [one.stack for one in result.undone] == ["vault"]
            assert LABEL in (await cluster.observe()).swarm.labels, "the second one may have to put it back"


# --- one wait ---


class Looking:
    """Gives one state after the other, the last of them for ever."""

    def __init__(self, states: Sequence[ActualState | SwarmctlError]) -> None:
        self.states, self.looks = list(states), 0

    async def look(self) -> ActualState:
        self.looks += 1
        found = self.states[min(self.looks, len(self.states)) - 1]
        if isinstance(found, SwarmctlError):
            raise found
        return found


def seen(**running: bool) -> ActualState:
    """A look at services whose tasks run, or don't."""
    done = {"State": "completed"}
    services = {name: observed(Kind.SERVICE, service_spec(name, replicas=1), UpdateStatus=done) for name in running}
    tasks = [task for name, runs in running.items() if runs for task in running_tasks(services[name])]
    return actual(*services.values(), tasks=tuple(tasks))


def a_wait(looking: Looking, timeout_s: float = 600.0) -> tuple[Wait, Heard]:
    heard = Heard()
    return Wait(Waiting(cast(Cluster, None), cast(Looks, looking), None, timeout_s, heard)), heard


async def test_one_that_has_converged_and_is_moved_again_while_others_are_written_has_its_time_anew():
    wait, heard = a_wait(Looking([seen(a=True, b=False), seen(a=False, b=False)]), timeout_s=0.2)
    wait.join(["a", "b"], ["a", "b"])
    outcome = asyncio.create_task(wait.outcome())
    heard.result = cast(Any, outcome)
    await heard.until(lambda: heard.verdicts.get("a") is Verdict.PROGRESSING)
    await heard.until(lambda: heard.verdicts["b"] is Verdict.TIMED_OUT)
    assert heard.verdicts["a"] is Verdict.PROGRESSING, "it converged in time"
    wait.close()
    ended = await asyncio.wait_for(outcome, WAIT_S)
    assert (ended.timed_out, {one.verdict for one in ended.assessments}) == (True, {Verdict.TIMED_OUT})


async def test_each_has_its_own_time_and_one_that_joins_late_is_not_timed_out_with_the_first():
    wait, heard = a_wait(Looking([seen(a=False, b=False)]), timeout_s=0.1)
    wait.join(["a"], ["a"])
    outcome = asyncio.create_task(wait.outcome())
    heard.result = cast(Any, outcome)
    await heard.until(lambda: heard.verdicts.get("a") is Verdict.TIMED_OUT)
    wait.join(["b"], ["b"])
    await heard.until(lambda: "b" in heard.verdicts)
    wait.close()
    ended = await asyncio.wait_for(outcome, WAIT_S)
    assert {one.service: one.verdict for one in ended.assessments} == dict.fromkeys("ab", Verdict.TIMED_OUT)


async def test_a_look_that_fails_while_there_is_more_to_write_ends_no_wait():
    away = SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "The engine does not answer.")
    looking = Looking([away, away, seen(a=True)])
    wait, heard = a_wait(looking)
    wait.join(["a"], ["a"])
    outcome = asyncio.create_task(wait.outcome())
    heard.result = cast(Any, outcome)
    await heard.until(lambda: heard.verdicts.get("a") is Verdict.CONVERGED)
    looking.states = [away]
    wait.close()
    with pytest.raises(SwarmctlError):
        await asyncio.wait_for(outcome, WAIT_S)


async def test_a_wait_that_nothing_joins_looks_at_nothing():
    looking = Looking([seen()])
    wait, _ = a_wait(looking)
    outcome = asyncio.create_task(wait.outcome())
    await asyncio.sleep(0.05)
    wait.close()
    ended = await asyncio.wait_for(outcome, WAIT_S)
    assert (ended.assessments, looking.looks) == ((), 0)
