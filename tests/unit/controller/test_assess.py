"""Whether a service has converged, from one observation."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from reconciler.controller.assess import assess, describe, monitor_s
from reconciler.model.endings import problem_of
from reconciler.model.objects import Kind
from reconciler.model.progress import Verdict
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import a_node, actual, observed, service_spec

NUMBERS = itertools.count(1)


def a_task(state: str, *, desired: str = "running", up_to_date: bool = True, error: str = "", **raw) -> ObservedTask:
    number = next(NUMBERS)
    status = {"State": state, "Err": error, "Timestamp": f"2026-01-01T00:00:{number % 60:02d}Z"}
    return ObservedTask.from_api(
        {"ID": f"t{number}", "ServiceID": "svc", "Slot": 1, "DesiredState": desired, "Status": status, **raw},
        up_to_date=up_to_date,
    )


def verdict_of(*tasks: ObservedTask, replicas: int = 2, mode: dict | None = None, **raw):
    spec = service_spec(replicas=replicas)
    if mode:
        spec["Mode"] = mode
    service = observed(Kind.SERVICE, spec, object_id="svc", **raw)
    return assess(service, actual(service, tasks=tasks))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ({"NodeID": "n1"}, "task 1 on n1 failed: exit 3"),
        ({"NodeID": "n1", "Slot": 0}, "task on n1 failed: exit 3"),
        ({}, "task 1 failed: exit 3"),
    ],
)
def test_a_task_is_named_by_its_slot_and_its_node(place: dict, told: str):
    assert describe(a_task("failed", error="exit 3", **place), actual()) == told


def test_as_many_running_tasks_as_wanted_is_converged():
    look = verdict_of(a_task("running"), a_task("running"), a_task("shutdown", desired="shutdown"))
    assert (look.verdict, look.running, look.wanted) == (Verdict.CONVERGED, 2, 2)


@pytest.mark.parametrize(
    "tasks",
    [
        (),
        (a_task("running"),),
        (a_task("running"), a_task("preparing")),
        (a_task("running"), a_task("running", up_to_date=False)),
        (a_task("running"), a_task("running"), a_task("running")),
    ],
    ids=["none", "one missing", "one not yet running", "one of the old spec", "one too many"],
)
def test_anything_else_is_progressing(tasks):
    assert verdict_of(*tasks).verdict is Verdict.PROGRESSING


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("updating", Verdict.PROGRESSING),
        ("rollback_started", Verdict.PROGRESSING),
        ("completed", Verdict.CONVERGED),
        ("paused", Verdict.PAUSED),
        ("rollback_paused", Verdict.PAUSED),
        ("rollback_completed", Verdict.ROLLED_BACK),
    ],
)
def test_the_update_itself_has_the_last_word(state, expected):
    look = verdict_of(a_task("running"), a_task("running"), UpdateStatus={"State": state, "Message": "because"})
    assert look.verdict is expected


def test_the_newest_error_of_todays_spec_is_told():
    look = verdict_of(
        a_task("failed", error="old story", up_to_date=False, desired="shutdown"),
        a_task("failed", error="task: non-zero exit (1)", desired="shutdown"),
        a_task("failed", error="task: non-zero exit (2)", desired="shutdown"),
        a_task("pending"),
    )
    assert look.message == "task 1 failed: task: non-zero exit (2)"


def test_a_global_service_wants_what_its_nodes_have():
    on_three = [a_task("running", NodeID=node) for node in ("n1", "n2", "n3")]
    look = verdict_of(*on_three, mode={"Global": {}})
    assert (look.verdict, look.wanted) == (Verdict.CONVERGED, 3)
    waiting = a_task("pending", NodeID="n4")
    assert verdict_of(*on_three, waiting, mode={"Global": {}}).verdict is Verdict.PROGRESSING


def test_what_swarm_leaves_on_a_paused_node_is_not_waited_for():
    service = observed(Kind.SERVICE, {**service_spec(), "Mode": {"Global": {}}}, object_id="svc")
    paused = a_node("n2", Availability="pause")
    new, old = a_task("running", NodeID="n1"), a_task("running", NodeID=paused.id, up_to_date=False)
    look = assess(service, actual(service, paused, tasks=(new, old)))
    assert (look.verdict, look.running, look.wanted, look.older) == (Verdict.CONVERGED, 1, 1, 0)


def test_a_node_that_has_the_old_task_and_the_new_one_counts_once():
    old = [a_task("running", NodeID=node, up_to_date=False) for node in ("n2", "n3")]
    new = [a_task("running", NodeID=node) for node in ("n1", "n2")]
    look = verdict_of(*old, *new, mode={"Global": {}}, UpdateStatus={"State": "updating"})
    assert (look.verdict, look.running, look.wanted, look.older) == (Verdict.PROGRESSING, 2, 3, 2)


@pytest.mark.parametrize("running", [(), ("n2", "n3")], ids=["on every node", "on one node"])
def test_a_global_service_whose_failed_task_waits_to_be_restarted_has_not_converged(running: tuple[str, ...]):
    """Swarm makes the next task at once, and lets it run after the restart policy's delay."""
    failed = a_task("failed", desired="shutdown", NodeID="n1", Slot=0, error="task: non-zero exit (3)")
    delayed = a_task("ready", desired="ready", NodeID="n1")
    look = verdict_of(*(a_task("running", NodeID=node) for node in running), failed, delayed, mode={"Global": {}})
    assert (look.verdict, look.running, look.wanted) == (Verdict.PROGRESSING, len(running), len(running) + 1)
    assert look.message == "task on n1 failed: task: non-zero exit (3)"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({}, (Verdict.FAILING, 1, 2)),
        ({"Labels": {"zone": "b"}}, (Verdict.CONVERGED, 1, 1)),
        ({"Availability": "drain"}, (Verdict.CONVERGED, 1, 1)),
    ],
    ids=["meant for it", "of another zone", "drained"],
)
@pytest.mark.parametrize("state", ["failed", "rejected"])
def test_a_global_service_that_is_given_up_on_a_node_which_is_meant_for_it_fails(state: str, node: dict, expected):
    spec = {**service_spec(), "Mode": {"Global": {}}}
    spec["TaskTemplate"] = {**spec["TaskTemplate"], "Placement": {"Constraints": ["node.labels.zone == a"]}}
    nodes = (a_node("n1", Labels={"zone": "a"}), a_node("n2", **{"Labels": {"zone": "a"}, **node}))
    tasks = (a_task("running", NodeID="id-n1"), a_task(state, desired="shutdown", NodeID="id-n2", error="exit 3"))
    there = observed(Kind.SERVICE, spec, object_id="svc")
    look = assess(there, actual(there, *nodes, tasks=tasks))
    assert (look.verdict, look.running, look.wanted) == expected


def test_never_more_are_told_to_run_than_are_wanted():
    look = verdict_of(*(a_task("running") for _ in range(5)))
    assert (look.verdict, look.running, look.wanted) == (Verdict.PROGRESSING, 2, 2)


def test_old_tasks_that_still_run_are_told():
    old = [a_task("running", up_to_date=False) for _ in range(3)]
    paused = {"State": "paused", "Message": "update paused"}
    look = verdict_of(*old, a_task("failed", desired="shutdown"), replicas=5, UpdateStatus=paused)
    told = problem_of(look)
    sentence = "Service web_api: update paused, 0 of 5 tasks updated, 3 of the old ones still run."
    assert (look.verdict, told.what) == (Verdict.PAUSED, sentence)
    assert problem_of(replace(look, older=1)).what.endswith("1 of the old ones still runs.")
    assert problem_of(replace(look, older=0)).what.endswith("0 of 5 tasks running.")


def test_how_a_failed_job_is_run_again_is_told():
    mode = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    spec = {**service_spec(), "Mode": mode}
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    job = observed(Kind.SERVICE, spec, object_id="svc")
    look = assess(job, actual(job, tasks=(a_task("failed", desired="shutdown", error="exit 1"),)))
    told = problem_of(look)
    assert (look.verdict, told.what) == (Verdict.FAILING, "Service web_api: its tasks fail, 0 of 1 tasks complete.")
    assert "`docker service update --force web_api` runs the job again once the cause is gone" in told.hint


def test_a_finished_job_is_converged_and_never_waited_for():
    mode = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}}
    done = [a_task("complete", desired="complete") for _ in range(2)]
    assert verdict_of(*done, mode=mode).verdict is Verdict.CONVERGED
    assert verdict_of(done[0], a_task("running", desired="complete"), mode=mode).verdict is Verdict.PROGRESSING


def on_nodes(*tasks: ObservedTask, mode: dict, **raw):
    """How a service stands on n1, which is down, and n2."""
    down = a_node("n1")
    down.raw["Status"] = {"State": "down"}
    service = observed(Kind.SERVICE, {**service_spec(), "Mode": mode}, object_id="svc", **raw)
    return assess(service, actual(service, down, a_node("n2"), tasks=tasks))


def test_a_global_job_owes_nothing_on_a_node_that_went_down_under_it():
    done = a_task("complete", desired="complete", NodeID="id-n2", Slot=0)
    left = a_task("running", desired="shutdown", NodeID="id-n1", Slot=0)
    failed = a_task("failed", desired="shutdown", NodeID="id-n1", Slot=0)
    look = on_nodes(done, left, mode={"GlobalJob": {}})
    assert (look.verdict, look.running, look.wanted) == (Verdict.CONVERGED, 1, 1)
    assert on_nodes(done, failed, mode={"GlobalJob": {}}).wanted == 2
    there = replace(left, node_id="id-n2")
    assert on_nodes(there, mode={"GlobalJob": {}}).wanted == 1, "a node that answers tells how it ends"


def test_a_node_that_is_down_and_that_swarm_waits_for_is_named():
    job = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    look = on_nodes(a_task("running", desired="complete", NodeID="id-n1", Slot=3), mode=job)
    waits = "that node is down, and Swarm waits until it is back or removed from the swarm"
    assert (look.verdict, look.message) == (Verdict.PROGRESSING, f"task 3 on n1 running: {waits}")

    two = {"Replicated": {"Replicas": 2}}
    stuck = a_task("preparing", desired="shutdown", NodeID="id-n1", Slot=1)
    others = (
        a_task("running", NodeID="id-n2", Slot=1),
        a_task("running", NodeID="id-n2", Slot=2, up_to_date=False),
        a_task("running", desired="shutdown", NodeID="id-n1", Slot=2, up_to_date=False),
    )
    updating = {"UpdateStatus": {"State": "updating"}}
    assert on_nodes(stuck, *others, mode=two, **updating).message == f"task 1 on n1 preparing: {waits}"
    assert on_nodes(*others, mode=two, **updating).message == "", "the old ones there are not waited for"
    assert on_nodes(stuck, *others, mode=two).message == "", "nobody waits where no update is under way"


def test_completions_of_an_earlier_run_of_the_job_do_not_count():
    mode = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    old = a_task("complete", desired="complete", JobIteration={"Index": 1})
    look = verdict_of(old, mode=mode, JobStatus={"JobIteration": {"Index": 2}})
    assert look.verdict is Verdict.PROGRESSING


def test_the_monitor_period_is_the_services_own_or_swarms_default():
    spec = service_spec()
    assert monitor_s(observed(Kind.SERVICE, spec)) == 5.0
    spec["UpdateConfig"] = {"Monitor": 1_500_000_000}
    assert monitor_s(observed(Kind.SERVICE, spec)) == 1.5
