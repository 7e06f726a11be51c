"""Room that a plan gives back only after those who need it, and start-first updates that wait for each other."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.desired import Policy
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import actual, desired, planned, wanted
from tests.unit.planning.seats import a_task, host_port, running, seat, service, warned

TWO = [seat("n1"), seat("n2")]
PRUNING = Policy(prune=True, max_delete_percent=100)
NAMES = ("n1", "n2")


def old(name: str = "web_old", **fields: Any) -> Any:
    return running(service(name, **{"replicas": 2, **fields}), *NAMES, owner="prod")


@pytest.mark.parametrize("fields", [{"cpus": 3}, {"ports": (host_port(80),)}], ids=["reservations", "host ports"])
@pytest.mark.parametrize("replicas", [2, None], ids=["replicated", "global"])
def test_what_is_pruned_goes_first_where_its_successor_needs_its_room(fields: dict[str, Any], replicas: int | None):
    assert warned([service("web_new", replicas=replicas, **fields)], TWO, old(**fields), policy=PRUNING) == []


def test_a_task_that_waits_for_what_a_later_step_gives_back_is_told_in_the_next_plan_too():
    """web_new stands as it is asked for, with a task that finds no room; web_old shrinks, but only once that runs."""
    new, now = service("web_new", replicas=2, cpus=2), old(cpus=3)
    found, tasks = running(new, "n1", owner="prod")
    stuck = a_task(found, "", slot=2, Status={"State": "pending", "Err": "no suitable node (too little)"})
    less = service("web_old", replicas=2, cpus=1)
    cluster = actual(TWO[0], TWO[1], now[0], found, tasks=(*now[1], *tasks, stuck))
    for needs, waits, told in (((), True, 0), (("web_new",), True, 1), (("web_new",), False, 0)):
        state = desired(wanted(Kind.SERVICE, new), wanted(Kind.SERVICE, less, needs=needs))
        assert len(planned(state, cluster, PlanOptions(waits=waits)).unplaceable) == told


def test_what_is_pruned_is_not_in_the_way_of_tasks_that_fit_beside_it():
    assert warned([service("web_new", replicas=2, cpus=1)], TWO, old(cpus=3), policy=PRUNING) == []
    three = [*TWO, seat("n3")]
    assert warned([service("web_new", cpus=3)], three, old(cpus=3), policy=PRUNING) == []


def both(order: str, cpus: float = 1.5, **fields: Any) -> tuple[list[JsonObject], list[Any]]:
    """Two services of two tasks that are updated at once, and as they run."""
    names, update = ("web_a", "web_b"), {"Order": order, "Parallelism": 1}
    now = [old(name, cpus=cpus, UpdateConfig=update, **fields) for name in names]
    return [service(name, replicas=2, cpus=cpus, image="app:2", UpdateConfig=update, **fields) for name in names], now


def test_start_first_updates_that_leave_each_other_no_room_are_told():
    specs, now = both("start-first")
    first, second = warned(specs, TWO, *now)
    assert first.what == "Service web_a: its start-first update can't begin."
    assert first.why.endswith("So waits web_b, updated start-first as well, and none makes room.")
    assert "So waits web_a, " in second.why


@pytest.mark.parametrize("plan", [both("stop-first"), both("start-first", cpus=1)], ids=["stop-first", "with room"])
def test_updates_of_which_one_can_begin_are_no_news(plan: Any):
    specs, now = plan
    assert warned(specs, TWO, *now) == []


def test_a_start_first_update_that_ends_makes_way_for_the_next():
    """web_a needs none of what web_b waits for, and has what it waits for until it has ended."""
    order = {"Order": "start-first", "Parallelism": 1}
    now = [old("web_a", cpus=1, UpdateConfig=order), old("web_b", cpus=2, UpdateConfig=order)]
    specs = [service("web_a", replicas=2, UpdateConfig=order), service("web_b", replicas=2, cpus=2, UpdateConfig=order)]
    specs[1]["TaskTemplate"]["ContainerSpec"]["Image"] = "app:2"
    assert warned(specs, TWO, *now) == []


def test_swapped_host_ports_can_not_be_updated_start_first():
    def a_pair(first: int, second: int) -> list[JsonObject]:
        order = {"Order": "start-first", "Parallelism": 1}
        ports = {"web_a": first, "web_b": second}
        return [
            service(name, replicas=None, ports=(host_port(port),), UpdateConfig=order) for name, port in ports.items()
        ]

    now = [running(spec, *NAMES, owner="prod") for spec in a_pair(80, 81)]
    assert len(warned(a_pair(81, 80), TWO, *now)) == 2
    assert warned(a_pair(82, 80), TWO, *now) == []


@pytest.mark.parametrize(("fields", "told"), [({}, True), ({"DesiredState": "remove"}, False), ({"Slot": 1}, False)])
def test_what_runs_of_a_job_that_is_gone_holds_its_room(fields: dict[str, Any], told: bool):
    """Engines of 20.10 never tell it to end. A service's task ends by itself, once the service is gone."""
    gone, _ = running(service("other_batch", cpus=3), owner="prod")
    job = {} if "Slot" in fields else {"JobIteration": {"Index": 0}}
    task = a_task(gone, "n1", slot=0, **{"Status": {"State": "running"}, "DesiredState": "complete", **job, **fields})
    cluster = actual(seat("n1"), tasks=(task,))
    made = planned(desired(wanted(Kind.SERVICE, service("web_new", cpus=2))), cluster)
    assert bool(made.unplaceable) is told
