"""A swarm that forgot to end a task is reminded: late enough, of nothing else, and as often as it takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from msgspec.structs import replace

from reconciler.controller.convergence import Outcome, Waiting, await_convergence
from reconciler.controller.forgotten import FORGOTTEN_GRACE_S
from reconciler.controller.looks import Looks
from reconciler.controller.ports import Cluster
from reconciler.controller.watch import Watch
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.progress import Verdict
from tests.fakes.virtual_time import in_virtual_time
from tests.unit.controller.test_watch import a_task, cluster_of
from tests.unit.planning.builders import NOW, observed, service_spec

LATE_S = FORGOTTEN_GRACE_S + 0.1


def reminded(first: ActualState, then: ActualState | None = None) -> list[str]:
    """Which services a watch wants to be written again, of two looks with the grace between them."""
    watch = Watch(("web_api",), None, ("web_api",))
    watch.look(first, 0.0)
    assert watch.forgotten() == ()
    watch.look(then or first, LATE_S)
    return [one.name for one in watch.forgotten()]


def test_a_task_too_many_is_told_once_nothing_has_moved_for_long():
    assert reminded(cluster_of(a_task("a", "running"), replicas=0)) == ["web_api"]
    assert reminded(cluster_of(a_task("a", "running"), a_task("b", "preparing"), replicas=1)) == ["web_api"]


@pytest.mark.parametrize("state", ["updating", "paused", "rollback_started", "rollback_paused", "rollback_completed"])
def test_an_update_may_have_more_tasks_and_one_that_swarm_paused_must_not_go_on(state: str):
    left = cluster_of(a_task("a", "running"), a_task("b", "running"), UpdateStatus={"State": state})
    assert reminded(left) == []


def test_as_many_as_wanted_are_nobodys_business_and_neither_is_what_is_told_to_end():
    assert reminded(cluster_of(a_task("a", "running"))) == []
    assert reminded(cluster_of(a_task("a", "running", desired="remove"), replicas=0)) == []
    assert reminded(cluster_of(a_task("a", "running"), spec={**service_spec(), "Mode": {"Global": {}}})) == []


def test_what_moves_is_given_time():
    first = cluster_of(a_task("a", "starting"), replicas=0)
    assert reminded(first, cluster_of(a_task("a", "running"), replicas=0)) == []
    written = replace(first, services=tuple(replace(one, version=one.version + 1) for one in first.services))
    assert reminded(first, written) == []


@dataclass
class Forgetful:
    """A swarm of one service, told to have no task, that forgets the one it has until it was written to `deaf` + 1
    times. It refuses a write that is not of its own version."""

    deaf: int = 0
    refuses: bool = False
    version: int = 10
    written: list[tuple[float, JsonObject]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    async def look(self, *, tasks_alone: bool = False) -> ActualState:
        del tasks_alone
        now_s = asyncio.get_running_loop().time()
        desired = "running" if len(self.written) <= self.deaf else "remove"
        service = observed(Kind.SERVICE, service_spec(replicas=0), object_id="svc", version=self.version)
        found = cluster_of(a_task("a", "running", desired=desired))
        return replace(found, services=(service,), observed_at=NOW + timedelta(seconds=now_s))

    async def update(self, kind: Kind, object_id: str, version: int, spec: JsonObject, **more: Any) -> None:
        assert (kind, object_id, version, more) == (Kind.SERVICE, "svc", self.version, {})
        self.written.append((asyncio.get_running_loop().time(), spec))
        if self.refuses:
            raise SwarmctlError(ErrorCode.STALE_VERSION, "It has moved.")
        self.version += 1

    def heard(self, told: Any) -> None:
        self.messages += [one.message for one in told.assessments]

    def ended(self) -> tuple[float, Outcome]:
        async def story() -> tuple[float, Outcome]:
            waiting = Waiting(cast(Cluster, self), cast(Looks, self), None, 300.0, self.heard)
            outcome = await await_convergence(waiting, ("web_api",), {"web_api"})
            return asyncio.get_running_loop().time(), outcome

        return in_virtual_time(story())


def test_a_wait_writes_the_service_as_it_is_and_ends():
    swarm = Forgetful()
    ended_s, outcome = swarm.ended()
    assert outcome.converged
    assert [spec for _, spec in swarm.written] == [service_spec(replicas=0)]
    assert FORGOTTEN_GRACE_S <= swarm.written[0][0] < ended_s < FORGOTTEN_GRACE_S + 3
    assert "1 task too many, which Swarm has not told to end" in swarm.messages


def test_it_does_so_again_where_that_did_not_help():
    swarm = Forgetful(deaf=3)
    assert swarm.ended()[1].converged
    moments = [at_s for at_s, _ in swarm.written]
    assert len(moments) == 4
    assert all(later - before >= FORGOTTEN_GRACE_S for before, later in pairwise(moments))


def test_a_swarm_that_takes_no_write_is_asked_until_the_time_is_over_and_the_reason_is_told():
    swarm = Forgetful(deaf=10**6, refuses=True)
    outcome = swarm.ended()[1]
    assert outcome.timed_out
    assert [one.verdict for one in outcome.assessments] == [Verdict.TIMED_OUT]
    assert outcome.assessments[0].message == "1 task too many, which Swarm has not told to end"
    assert 20 < len(swarm.written) <= 30, "no write at each look"
