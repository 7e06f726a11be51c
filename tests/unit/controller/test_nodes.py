"""Waiting for nodes: nothing is demoted or removed before it is empty, and what is in the way is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from reconciler.controller import nodes, roles
from reconciler.controller.nodes import await_empty, await_node, tasks_left
from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import a_node, actual, desired, observed, planned, service_spec, wanted_node

M1, M2, M3 = (a_node(name, role="manager") for name in ("m1", "m2", "m3"))


def a_task(state: str, *, node: str = "m2") -> ObservedTask:
    raw = {"ID": "t1", "ServiceID": "id-web_api", "NodeID": f"id-{node}", "Status": {"State": state}}
    return ObservedTask.from_api(raw, up_to_date=True)


def cluster(*tasks: ObservedTask) -> ActualState:
    return actual(M1, M2, M3, observed(Kind.SERVICE, service_spec()), tasks=tasks)


def actions(*, absent: bool) -> tuple[Action, ...]:
    """Drain, demote and either activate or remove m2."""
    entry = replace(wanted_node("m2", role="worker"), absent=absent)
    return tuple(one for one in planned(desired(nodes=(entry,)), cluster()).actions if one.kind is Kind.NODE)


class Looking:
    """Gives one state after the other, the last of them for ever."""

    def __init__(self, states: Sequence[ActualState]) -> None:
        self.states, self.looks = states, 0

    async def __call__(self) -> ActualState:
        self.looks += 1
        return self.states[min(self.looks, len(self.states)) - 1]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "POLL_S", 0.0)


async def test_a_demotion_waits_until_the_last_task_has_ended():
    look = Looking([cluster(a_task("running")), cluster(a_task("running")), cluster(a_task("shutdown"))])
    assert await await_empty(look, actions(absent=False)[1], 60.0) is None
    assert look.looks == 3


@pytest.mark.parametrize("state", ["assigned", "preparing", "running"])
async def test_what_is_left_is_named_when_the_time_is_over(state: str):
    problem = await await_empty(Looking([cluster(a_task(state))]), actions(absent=False)[1], 0.0)
    assert problem is not None
    assert problem.code is ErrorCode.TIMED_OUT
    assert f"task t1 (web_api, {state})" in problem.why


async def test_a_demotion_that_another_apply_has_made_waits_for_no_task():
    demoted = actual(
        M1, a_node("m2", role="worker"), M3, observed(Kind.SERVICE, service_spec()), tasks=(a_task("running"),)
    )
    assert await await_empty(Looking([demoted]), actions(absent=False)[1], 0.0) is None


async def test_drains_and_activations_wait_for_nothing():
    look = Looking([cluster(a_task("running"))])
    for action in (actions(absent=False)[0], actions(absent=False)[2]):
        assert await await_empty(look, action, 0.0) is None
    assert look.looks == 0


async def test_a_removal_waits_until_the_node_has_left_the_managers():
    left = replace(M2, raw={"Status": {"State": "ready"}})
    look = Looking([cluster(), replace(cluster(), nodes=(M1, left, M3))])
    removal = actions(absent=True)[2]
    assert await await_empty(look, removal, 60.0) is None
    assert look.looks == 2
    problem = await await_empty(Looking([cluster()]), removal, 0.0)
    assert problem is not None
    assert "one of the managers" in problem.what


async def test_an_endpoint_that_stays_away_is_the_answer():
    async def nobody() -> ActualState:
        raise SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "Nobody answers.")

    problem = await await_empty(nobody, actions(absent=True)[2], 60.0)
    assert problem is not None
    assert problem.code is ErrorCode.ENGINE_UNREACHABLE


async def test_requests_that_fail_while_a_manager_changes_do_not_end_the_wait_for_its_role(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(roles, "POLL_S", 0.0)
    failures = [ErrorCode.REQUEST_REFUSED, ErrorCode.SWARM_UNAVAILABLE]

    class Busy:
        async def get(self, kind: Kind, object_id: str) -> ObservedObject:
            assert (kind, object_id) == (Kind.NODE, "id-m2")
            if failures:
                raise SwarmctlError(failures.pop(), "context deadline exceeded", passing=True)
            return replace(M2, raw={"Status": {"State": "ready"}})

    assert await await_node(cast(Cluster, Busy()), actions(absent=False)[1], 60.0, "id-m1") is None
    assert failures == []


def test_a_node_that_is_down_is_not_waited_for():
    down = replace(M2, raw={"Status": {"State": "down"}})
    state = replace(cluster(a_task("running")), nodes=(M1, down, M3))
    assert tasks_left(state, "id-m2") == ()
    assert tasks_left(cluster(a_task("running"), a_task("running", node="m1")), "id-m2") == (a_task("running"),)


DOWN = replace(M2, raw={"Status": {"State": "down"}})


def struck(*tasks: ObservedTask) -> ActualState:
    """m2, a manager no more, has gone down."""
    return replace(cluster(*tasks), nodes=(M1, DOWN, M3))


async def test_a_node_that_goes_down_before_its_tasks_were_seen_to_end_is_not_removed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nodes, "BACK_WAIT_S", 0.0)
    removal = actions(absent=True)[2]
    problem = await await_empty(Looking([cluster(a_task("running")), struck(a_task("running"))]), removal, 60.0)
    assert problem is not None
    assert problem.code is ErrorCode.NODE_DOWN
    assert "task t1 (web_api, running)" in problem.why
    assert await await_empty(Looking([struck(a_task("shutdown"))]), removal, 60.0) is None


async def test_a_node_that_is_down_for_a_moment_is_removed_once_it_is_empty():
    back = replace(cluster(a_task("shutdown")), nodes=(M1, replace(M2, raw={"Status": {"State": "ready"}}), M3))
    look = Looking([struck(a_task("running")), struck(a_task("running")), back])
    assert await await_empty(look, actions(absent=True)[2], 60.0) is None
    assert look.looks == 3


async def test_a_node_that_was_down_when_the_plan_was_made_is_removed_as_it_is():
    entry = replace(wanted_node("m2", role="worker"), absent=True)
    removal = planned(desired(nodes=(entry,)), struck(a_task("running"))).actions[-1]
    assert await await_empty(Looking([struck(a_task("running"))]), removal, 0.0) is None
