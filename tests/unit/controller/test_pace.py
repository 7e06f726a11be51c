"""When a wait looks, and how much it reads: in virtual time, at a swarm that starts tasks one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from msgspec.structs import replace

from reconciler.controller import pace
from reconciler.controller.convergence import Outcome, Waiting, await_convergence
from reconciler.controller.looks import Looks
from reconciler.controller.pace import OVERDUE_S, POLL_MAX_S, POLL_S, WHOLE_EVERY_S, Outlook, pause_s
from reconciler.controller.ports import Cluster
from reconciler.controller.watch import UNSCHEDULABLE_GRACE_S
from reconciler.model.actual import ActualState
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.progress import Verdict
from reconciler.model.tasks import ObservedTask
from tests.fakes.virtual_time import in_virtual_time
from tests.unit.planning.builders import NOW, a_node, actual, observed, service_spec

MONITOR_S = 5.0
"""Of a service that does not say."""
SOON_S = 0.3
LOOK_S = 0.02
"""What one look takes; a busy engine needs longer."""


def a_task(name: str, state: str, at_s: float, *, desired: str = "running", error: str = "") -> ObservedTask:
    """A task that came to its state at `at_s`, by a clock that is right."""
    timestamp = (NOW + timedelta(seconds=at_s)).isoformat()
    status = {"State": state, "Err": error, "Timestamp": timestamp}
    service = name.partition(".")[0]
    body = {"ID": name, "ServiceID": f"id-{service}", "Slot": 1, "NodeID": "id-n1", "DesiredState": desired}
    return ObservedTask.from_api({**body, "CreatedAt": timestamp, "Status": status}, up_to_date=True)


@dataclass
class Swarm:
    """Services of one task each. `up_s` is {service: when it runs}; `change` is given the rest of the story."""

    up_s: dict[str, float]
    change: Callable[[ActualState, float], ActualState] = lambda found, _: found
    look_s: float = LOOK_S
    clock_off_s: float = 0.0
    """By how much the clocks of the nodes are ahead."""
    looks: list[tuple[float, bool]] = field(default_factory=list)
    """(when, whether services and nodes were read, too) of each look."""
    last: ActualState | None = None

    def services(self) -> tuple[ObservedObject, ...]:
        return tuple(observed(Kind.SERVICE, service_spec(name, replicas=1)) for name in self.up_s)

    def at(self, now_s: float) -> ActualState:
        tasks = tuple(
            a_task(f"{name}.1", "running" if now_s >= up_s else "preparing", min(now_s, up_s) + self.clock_off_s)
            for name, up_s in self.up_s.items()
        )
        found = actual(*self.services(), *(a_node(f"n{number}") for number in range(3)), tasks=tasks)
        return self.change(replace(found, observed_at=NOW + timedelta(seconds=now_s)), now_s)

    async def look(self, *, tasks_alone: bool = False) -> ActualState:
        now_s = asyncio.get_running_loop().time()
        self.looks.append((now_s, not tasks_alone))
        found = self.at(now_s)
        if tasks_alone:
            assert self.last is not None
            found = replace(found, services=self.last.services, nodes=self.last.nodes)
        self.last = found
        await asyncio.sleep(self.look_s)
        return found

    def ended(self, timeout_s: float = 300.0) -> tuple[float, Outcome]:
        """Wait for all services, and return when that ended, and how."""

        async def story() -> tuple[float, Outcome]:
            before = replace(self.at(-1.0), tasks=())
            waiting = Waiting(cast(Cluster, None), cast(Looks, self), before, timeout_s, lambda _: None)
            outcome = await await_convergence(waiting, tuple(self.up_s), frozenset(self.up_s))
            return asyncio.get_running_loop().time(), outcome

        return in_virtual_time(story())

    def whole(self) -> int:
        return sum(1 for _, is_whole in self.looks if is_whole)

    def within(self, seconds: float) -> int:
        return sum(1 for at_s, _ in self.looks if at_s < seconds)


def one_after_another(count: int, each_s: float) -> dict[str, float]:
    return {f"s{number}": (number + 1) * each_s for number in range(count)}


def verdicts(outcome: Outcome) -> dict[str, Verdict]:
    return {one.service: one.verdict for one in outcome.assessments}


def changed(found: ActualState, name: str, **raw: Any) -> ActualState:
    services = (replace(one, raw={**one.raw, **raw}) if one.name == name else one for one in found.services)
    return replace(found, services=tuple(services))


def with_task(found: ActualState, *tasks: ObservedTask) -> ActualState:
    """The state with other tasks of the services that these are of."""
    ids = {task.service_id for task in tasks}
    return replace(found, tasks=(*(task for task in found.tasks if task.service_id not in ids), *tasks))


# --- the end ---


@pytest.mark.parametrize("up_s", [0.0, 0.3, 0.7, 1.9, 4.0, 20.0])
def test_a_service_is_told_as_soon_as_it_was_up_for_long_enough(up_s: float):
    ended_s, outcome = Swarm({"web": up_s}).ended()
    assert outcome.converged
    assert up_s + MONITOR_S <= ended_s < up_s + MONITOR_S + SOON_S


@pytest.mark.parametrize("look_s", [LOOK_S, 0.3])
def test_so_are_a_hundred_that_come_up_one_after_another_with_few_looks(look_s: float):
    swarm = Swarm(one_after_another(100, 0.25), look_s=look_s)
    ended_s, outcome = swarm.ended()
    assert outcome.converged
    assert ended_s < 25.0 + MONITOR_S + SOON_S + 2 * look_s
    assert len(swarm.looks) <= 15
    assert swarm.whole() <= 7
    assert swarm.looks[-1][1], "what ends the wait is read whole"


def test_nothing_is_taken_from_the_time_by_a_clock_that_is_wrong():
    """What a node says counts only where it lies between two looks."""
    for off_s in (-3600.0, -4.0, 4.0, 3600.0):
        ended_s, outcome = Swarm({"web": 20.0}, clock_off_s=off_s).ended()
        assert outcome.converged
        assert ended_s >= 20.0 + MONITOR_S, off_s


def test_a_service_without_a_period_of_its_own_is_told_at_the_first_look():
    class Short(Swarm):
        def services(self) -> tuple[ObservedObject, ...]:
            spec = {**service_spec("web", replicas=1), "UpdateConfig": {"Monitor": 1}}
            return (observed(Kind.SERVICE, spec),)

    ended_s, outcome = Short({"web": 0.4}).ended()
    assert outcome.converged
    assert ended_s <= 0.4 + POLL_S + 2 * LOOK_S


def test_an_update_is_told_as_soon_as_the_swarm_has_watched_it():
    def updating(found: ActualState, now_s: float) -> ActualState:
        return changed(found, "web", UpdateStatus={"State": "completed" if now_s >= 15.15 else "updating"})

    ended_s, outcome = Swarm({"web": 10.0}, updating).ended()
    assert outcome.converged
    assert 15.15 <= ended_s < 15.15 + SOON_S


def test_what_ends_by_the_time_limit_ends_then():
    ended_s, outcome = Swarm({"web": 1e9}).ended(timeout_s=20.0)
    assert verdicts(outcome) == {"web": Verdict.TIMED_OUT}
    assert 20.0 <= ended_s < 20.0 + SOON_S


# --- while tasks start ---


def test_the_more_tasks_start_the_fewer_looks_come_first():
    few, many = Swarm(one_after_another(3, 2.0)), Swarm(one_after_another(100, 0.25))
    few.ended(), many.ended()
    assert few.within(2.0) >= 5
    assert many.within(2.0) <= 1
    assert few.looks[0][0] == 0.0, "what is done quickly is told quickly"


def test_while_many_start_most_looks_read_tasks_alone():
    swarm = Swarm(one_after_another(100, 0.25))
    swarm.ended()
    early = [is_whole for at_s, is_whole in swarm.looks if at_s < 20.0]
    assert early.count(False) > 2 * early.count(True)
    few = Swarm(one_after_another(5, 2.0))
    few.ended()
    assert few.whole() == len(few.looks)


def test_a_task_that_is_refused_is_found_while_many_others_start():
    def rejected(found: ActualState, now_s: float) -> ActualState:
        times = [float(second) for second in range(10, int(now_s) + 1)]
        dead = [a_task(f"s99.{at_s}", "rejected", at_s, desired="shutdown", error="no image") for at_s in times]
        return with_task(found, *dead, a_task("s99.w", "ready", 0.0, desired="ready")) if dead else found

    told: list[float] = []

    class Hearing(Swarm):
        async def look(self, *, tasks_alone: bool = False) -> ActualState:
            found = await super().look(tasks_alone=tasks_alone)
            if any(task.error for task in found.tasks) and not tasks_alone:
                told.append(asyncio.get_running_loop().time())
            return found

    _, outcome = Hearing(one_after_another(100, 0.25), rejected).ended()
    assert verdicts(outcome)["s99"] is Verdict.FAILING
    assert told[0] <= 10.0 + POLL_MAX_S + 2 * LOOK_S
    assert sum(1 for at_s in told if at_s <= 10.0 + 3 * POLL_MAX_S) >= 2, "from then on each look reads all"


def test_an_update_that_pauses_while_many_others_start_is_found():
    def pausing(found: ActualState, now_s: float) -> ActualState:
        state = "paused" if now_s >= 10.0 else "updating"
        return changed(found, "s99", UpdateStatus={"State": state, "Message": "a task failed"})

    swarm = Swarm({**one_after_another(99, 0.1), "s99": 1e9}, pausing)
    ended_s, outcome = swarm.ended()
    assert verdicts(outcome)["s99"] is Verdict.PAUSED
    assert swarm.whole() == len(swarm.looks), "an update shows in its service"
    assert ended_s < 9.9 + MONITOR_S + SOON_S


@pytest.mark.parametrize("gone_s", [4.0, 12.0])
def test_a_service_that_somebody_removes_while_many_start_is_missed_at_once(gone_s: float):
    def removed(found: ActualState, now_s: float) -> ActualState:
        if now_s < gone_s:
            return found
        services = tuple(one for one in found.services if one.name != "s99")
        return replace(found, services=services, tasks=tuple(t for t in found.tasks if t.service_id != "id-s99"))

    swarm = Swarm(one_after_another(100, 0.25), removed)
    _, outcome = swarm.ended()
    assert verdicts(outcome)["s99"] is Verdict.MISSING
    after = [(at_s, is_whole) for at_s, is_whole in swarm.looks if at_s >= gone_s]
    assert after[0][0] <= gone_s + POLL_MAX_S + LOOK_S
    assert after[0][1] or after[1] == (after[0][0] + LOOK_S, True)


def test_what_no_task_tells_is_found_all_the_same():
    def relabelled(found: ActualState, now_s: float) -> ActualState:
        if now_s < 4.0:
            return found
        theirs = {**service_spec("s99", replicas=1), "Labels": {"by": "hand"}}
        services = (replace(one, spec=theirs, version=99) if one.name == "s99" else one for one in found.services)
        return replace(found, services=tuple(services))

    swarm = Swarm(one_after_another(100, 0.25), relabelled)
    _, outcome = swarm.ended()
    assert verdicts(outcome)["s99"] is Verdict.CHANGED
    wholes = [at_s for at_s, is_whole in swarm.looks if is_whole]
    gaps = [later - earlier for earlier, later in pairwise(wholes)]
    assert max(gaps) <= WHOLE_EVERY_S + POLL_MAX_S + LOOK_S


def test_tasks_that_find_no_node_are_told_when_their_time_is_over():
    def pending(found: ActualState, _: float) -> ActualState:
        return with_task(found, a_task("web.1", "pending", 0.0, error="no suitable node (3 nodes not available)"))

    ended_s, outcome = Swarm({"web": 1e9}, pending).ended()
    assert verdicts(outcome) == {"web": Verdict.UNSCHEDULABLE}
    assert UNSCHEDULABLE_GRACE_S <= ended_s < UNSCHEDULABLE_GRACE_S + SOON_S


# --- the pace by itself ---


@pytest.mark.parametrize(
    ("outlook", "waited_s", "took_s", "expected_s"),
    [
        (Outlook(starting=1), 0.0, 0.01, POLL_S),
        (Outlook(starting=1), 2.0, 0.01, 0.5),
        (Outlook(starting=1), 100.0, 0.01, 1.0),
        (Outlook(starting=1), 100.0, 9.0, POLL_MAX_S),
        (Outlook(starting=30, nodes=3), 0.0, 0.01, 0.8),
        (Outlook(starting=30, nodes=0), 0.0, 0.01, 2.4),
        (Outlook(starting=1000, nodes=3), 0.0, 0.01, POLL_MAX_S),
        (Outlook(settled_s=100.1, due_s=(100.1,)), 0.0, 0.01, 0.11),
        (Outlook(settled_s=104.0, due_s=(104.0,)), 12.0, 9.0, 4.01),
        (Outlook(settled_s=104.0, due_s=(101.6, 102.9, 104.0)), 8.0, 9.0, 1.61),
        (Outlook(settled_s=100.0 - OVERDUE_S / 2, due_s=()), 100.0, 9.0, POLL_S),
        (Outlook(settled_s=100.0 - OVERDUE_S, due_s=()), 100.0, 9.0, POLL_MAX_S),
        (Outlook(starting=1, due_s=(100.1, 102.0, 102.5)), 100.0, 9.0, 2.51),
        (Outlook(starting=1, due_s=(99.0, 100.1, 104.0)), 100.0, 9.0, 0.11),
        (Outlook(starting=99, due_s=(100.1, 102.0, 104.0)), 100.0, 9.0, 2.01),
        (Outlook(starting=99, due_s=(100.1, 104.0)), 100.0, 9.0, POLL_MAX_S),
    ],
)
def test_the_pause_before_the_next_look(outlook: Outlook, waited_s: float, took_s: float, expected_s: float):
    assert pause_s(outlook, 100.0, waited_s=waited_s, took_s=took_s) == pytest.approx(expected_s)


def test_the_first_look_comes_at_once_where_few_services_were_written():
    assert [pace.first_pause_s(services, 3) for services in (0, 1, 5)] == [0.0] * 3
    assert 0.0 < pace.first_pause_s(20, 3) < pace.first_pause_s(100, 3) == pace.FIRST_PAUSE_MAX_S
