"""What crashes in a loop is failing, though each look by itself finds it running, or on its way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from msgspec.structs import replace

from reconciler.controller import readiness
from reconciler.controller.convergence import Outcome, Waiting
from reconciler.controller.crashes import CRASH_WINDOW_S, CRASHES_MAX, assessed
from reconciler.controller.finishing import services_to_await
from reconciler.controller.looks import Looks
from reconciler.controller.ports import Cluster
from reconciler.controller.readiness import Readiness
from reconciler.controller.watch import IN_DOUBT_WATCH_S, Watch
from reconciler.model.actual import ActualState
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan
from reconciler.model.progress import Assessment, Verdict
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import actual, observed, service_spec

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def moment(ago_s: float) -> str:
    return (NOW - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%S.%f001Z")


def a_task(
    number: int, state: str, ago_s: float, *, slot: int = 1, up_to_date: bool = True, lived_s: float = 1.0
) -> ObservedTask:
    at = moment(ago_s)
    error = "task: non-zero exit (3)" if state == "failed" else ""
    status = {"State": state, "Err": error, "Timestamp": at}
    desired = "running" if state == "running" else "shutdown"
    raw = {"ID": f"t{number}", "ServiceID": "svc", "Slot": slot, "DesiredState": desired, "Status": status}
    raw["CreatedAt"] = moment(ago_s + lived_s)
    return ObservedTask.from_api(raw, up_to_date=up_to_date)


def cluster_of(*tasks: ObservedTask, monitor_s: float = 5.0) -> ActualState:
    spec = {**service_spec(replicas=1), "UpdateConfig": {"Monitor": int(monitor_s * 1e9)}}
    return replace(actual(observed(Kind.SERVICE, spec, object_id="svc"), tasks=tasks), observed_at=NOW)


def verdict_of(*tasks: ObservedTask) -> Verdict:
    return assessed(cluster_of(*tasks))[0].verdict


def looping(lived_s: float) -> ActualState:
    """A service whose task runs for the moment, after others that lived for so long each. Swarm watches it for 1 s."""
    ended = [a_task(number, "failed", 2 + number * lived_s, lived_s=lived_s) for number in range(CRASHES_MAX)]
    return cluster_of(*ended, a_task(99, "running", 1), monitor_s=1.0)


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ([{"ago_s": 7.0 * n} for n in range(CRASHES_MAX)], Verdict.FAILING),
        ([{"ago_s": 7.0 * n} for n in range(CRASHES_MAX - 1)], Verdict.CONVERGED),
        ([{"ago_s": CRASH_WINDOW_S + 7.0 * n} for n in range(CRASHES_MAX)], Verdict.CONVERGED),
        ([{"ago_s": 7.0 * n, "slot": n} for n in range(CRASHES_MAX)], Verdict.CONVERGED),
        ([{"ago_s": 7.0 * n, "up_to_date": False} for n in range(CRASHES_MAX)], Verdict.CONVERGED),
    ],
    ids=["in a loop", "twice", "long ago", "each slot once", "of an older spec"],
)
def test_a_slot_that_failed_again_and_again_of_late_makes_its_service_fail(failed, verdict):
    ended = [a_task(number, "failed", **fields) for number, fields in enumerate(failed)]
    assert verdict_of(a_task(99, "running", 1), *ended) is verdict


@pytest.mark.parametrize(("lived_s", "needed_s"), [(1.5, IN_DOUBT_WATCH_S), (12.0, 12.0)])
def test_what_crashed_in_a_loop_before_an_apply_must_outlive_what_crashed(lived_s: float, needed_s: float):
    state = looping(lived_s)
    watch = Watch(("web_api",), state, ())
    assert watch.look(state, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, needed_s - 0.1)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, needed_s + 0.1)[0].verdict is Verdict.CONVERGED


def test_an_apply_with_nothing_to_write_waits_for_what_crashes_in_a_loop_though_it_runs_for_the_moment():
    made = Plan("main", None, "unix:///x", (), services=("web_api",))
    assert services_to_await(made, looping(3.0), ()) == ("web_api",)
    assert services_to_await(made, cluster_of(a_task(99, "running", 1)), ()) == ()


async def test_who_needs_a_service_that_crashes_in_a_loop_waits_for_it_though_it_runs_for_the_moment(
    monkeypatch: pytest.MonkeyPatch,
):
    async def fails(_: Waiting, services: tuple[str, ...]) -> Outcome:
        return Outcome(tuple(Assessment(name, Verdict.FAILING, 0, 1) for name in services), timed_out=False)

    monkeypatch.setattr(readiness, "await_convergence", fails)
    nobody = cast("Cluster", None)
    waiting = Waiting(nobody, cast("Looks", None), looping(3.0), 1.0, lambda _: None)
    needing = Action("service.b", ActionType.CREATE, Kind.SERVICE, "b", None, "", awaits=("web_api",))
    async with asyncio.TaskGroup() as group:
        ready = Readiness(waiting, (needing,))
        ready.begin(group)
        assert await ready.why_not(needing) == "service.web_api, which must have converged before, is failing."
