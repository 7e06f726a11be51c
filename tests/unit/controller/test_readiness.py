"""What a service needs and the plan leaves alone is waited for, once for all that need it, before they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from reconciler.controller import readiness
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.convergence import Outcome, Waiting
from reconciler.model.desired import DesiredState, Stack
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.progress import ActionStatus, ApplyResult, Assessment, Verdict
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.unit.planning.builders import HERE, desired, service_spec, wanted


def with_dependents(count: int) -> DesiredState:
    """The stack db, and as many services that need it. Nothing of the quiet swarm ever runs by itself."""
    names = ["db_one", *(f"web_{number}" for number in range(count))]
    services = []
    for name in names:
        spec = service_spec(name, stack=name.partition("_")[0], replicas=1)
        spec["TaskTemplate"].pop("Networks")
        services.append(wanted(Kind.SERVICE, spec, stack=name.partition("_")[0]))
    return desired(*services, stacks=(Stack("db", "d", (), HERE), Stack("web", "w", ("db",), HERE)))


async def applied_again(*, wait: bool = True) -> ApplyResult:
    """Apply the stack db, then what needs it, while db is still on its way."""
    cluster = await a_quiet_swarm()
    before = await cluster.observe()
    await apply(plan(with_dependents(0), before), before, cluster, ApplyOptions(wait=False), lambda _: None)
    before = await cluster.observe()
    made = plan(with_dependents(3), before)
    assert [action.name for action in made.actions] == ["web_0", "web_1", "web_2"]
    return await apply(made, before, cluster, ApplyOptions(wait=wait), lambda _: None)


@dataclass
class Waits:
    """How a wait ends here, and the services that were waited for."""

    verdict: Verdict = Verdict.CONVERGED
    services: list[str] = field(default_factory=list)

    async def end(self, _: Waiting, services: Collection[str]) -> Outcome:
        self.services.extend(services)
        await asyncio.sleep(0)
        return Outcome(tuple(Assessment(name, self.verdict, 0, 1) for name in services), timed_out=False)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    async def all_well(_: object) -> Outcome:
        return Outcome((), timed_out=False)

    found = Waits()
    monkeypatch.setattr(readiness, "await_convergence", found.end)
    monkeypatch.setattr("reconciler.controller.convergence.Wait.outcome", all_well)
    return found


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (Verdict.CONVERGED, ActionStatus.DONE),
        (Verdict.ROLLED_BACK, ActionStatus.DONE),
        (Verdict.FAILING, ActionStatus.SKIPPED),
        (Verdict.TIMED_OUT, ActionStatus.SKIPPED),
    ],
)
async def test_all_that_need_it_wait_once_and_are_written_if_it_is_well(
    waits: Waits, verdict: Verdict, ending: ActionStatus
):
    waits.verdict = verdict
    result = await applied_again()
    assert waits.services == ["db_one"]
    assert {one.status for one in result.actions} == {ending}
    if ending is ActionStatus.SKIPPED:
        assert result.actions[0].problem is not None
        assert "service.db_one, which must have converged before" in result.actions[0].problem.why


async def test_who_does_not_want_to_wait_does_not(waits: Waits):
    result = await applied_again(wait=False)
    assert waits.services == []
    assert {one.status for one in result.actions} == {ActionStatus.DONE}


async def test_an_endpoint_that_goes_away_meanwhile_is_the_reason(waits: Waits, monkeypatch: pytest.MonkeyPatch):
    del waits

    async def away(_: Waiting, services: Collection[str]) -> Outcome:
        raise SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "No Docker Engine answers.", why="", hint="")

    monkeypatch.setattr(readiness, "await_convergence", away)
    result = await applied_again()
    assert {one.status for one in result.actions} == {ActionStatus.SKIPPED}
    assert result.actions[0].problem is not None
    assert "No Docker Engine answers." in result.actions[0].problem.why
