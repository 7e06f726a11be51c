"""The words and numbers of an effect. That they are true is tested on a real swarm (tests/e2e/test_effects.py)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, TaskCounts, TaskEffect
from reconciler.model.tasks import ObservedTask, TaskState
from reconciler.planning.rollout_time import about, pace_of, seconds, start_seconds, stop_seconds
from tests.unit.planning.builders import a_node, actual, desired, network_spec, observed, planned, service_spec, wanted

Change = Callable[[JsonObject], None]
NODES = tuple(a_node(name, role=role) for name, role in (("n1", "manager"), ("n2", "worker"), ("n3", "worker")))
SECOND_NS = 1_000_000_000


def stored(spec: JsonObject) -> JsonObject:
    """What the engine makes of a create body, with the network's id."""
    live = copy.deepcopy(spec)
    for attachment in live["TaskTemplate"].get("Networks", []):
        attachment["Target"] = f"id-{attachment['Target']}"
    return live


def put(path: str, value: Any) -> Change:
    def change(spec: JsonObject) -> None:
        *steps, last = path.split(".")
        for step in steps:
            spec = spec.setdefault(step, {})
        spec[last] = value

    return change


def a_task(service: ObservedObject, slot: int, node: str, **fields: Any) -> ObservedTask:
    made = ObservedTask(
        id=f"task-{slot}-{node}",
        service_id=service.id,
        node_id=f"id-{node}" if node else "",
        slot=slot,
        state=TaskState.RUNNING,
        desired_state=TaskState.RUNNING,
        up_to_date=True,
        message="",
        error="",
        timestamp="",
        raw={"Spec": service.spec["TaskTemplate"]},
    )
    return replace(made, **fields)


def one_each(service: ObservedObject, **fields: Any) -> tuple[ObservedTask, ...]:
    """The tasks of a service of three: one on each node."""
    is_global = "Global" in service.spec["Mode"]
    names = ("n1", "n2", "n3")
    return tuple(a_task(service, 0 if is_global else slot, name, **fields) for slot, name in enumerate(names, start=1))


def action(
    *changes: Change,
    base: JsonObject | None = None,
    tasks: Callable[[ObservedObject], tuple[ObservedTask, ...]] = one_each,
    nodes: tuple[ObservedObject, ...] = NODES,
    **raw: Any,
) -> Action:
    """What the plan says of a service of three that is changed."""
    before = base or service_spec()
    after = copy.deepcopy(before)
    for change in changes:
        change(after)
    service = observed(Kind.SERVICE, stored(before), **raw)
    network = observed(Kind.NETWORK, network_spec())
    cluster = actual(network, service, *nodes, tasks=tasks(service))
    state = replace(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, after)), cluster="")
    (made,) = planned(state, cluster).actions
    return made


def mode(**fields: Any) -> JsonObject:
    return {**service_spec(), "Mode": fields}


CONTAINER = "TaskTemplate.ContainerSpec."
IMAGE = put(f"{CONTAINER}Image", "nginx:1.27")
LABEL = put("Labels.team", "blue")
REPLICAS = "Mode.Replicated.Replicas"
WORKERS = put("TaskTemplate.Placement", {"Constraints": ["node.role == worker"]})


@pytest.mark.parametrize(
    ("changes", "text", "counts"),
    [
        ([LABEL], "label only, no task restarts", TaskCounts()),
        ([put("UpdateConfig", {"Parallelism": 2})], "settings only, no task restarts", TaskCounts()),
        ([put("RollbackConfig", {"Parallelism": 2}), LABEL], "settings only, no task restarts", TaskCounts()),
        ([put(REPLICAS, 5)], "scale 3 -> 5, 2 tasks start", TaskCounts(start=2)),
        ([put(REPLICAS, 2)], "scale 3 -> 2, 1 task stops", TaskCounts(stop=1)),
        ([put(REPLICAS, 0), IMAGE], "scale 3 -> 0, 3 tasks stop", TaskCounts(stop=3)),
        (
            [IMAGE],
            "rolling restart of 3 tasks, 1 at a time, stop-first, about 40 s",
            TaskCounts(restart=3, seconds=39),
        ),
        (
            [IMAGE, put(REPLICAS, 5)],
            "scale 3 -> 5, 2 tasks start; rolling restart of 3 tasks, 1 at a time, stop-first, about 40 s",
            TaskCounts(restart=3, start=2, seconds=39),
        ),
        (
            [IMAGE, put("UpdateConfig", {"Parallelism": 0, "Order": "start-first"})],
            "rolling restart of 3 tasks, all at once, start-first, about 1 s",
            TaskCounts(restart=3, seconds=1),
        ),
        (
            [IMAGE, put("UpdateConfig", {"Parallelism": 2, "Delay": 30 * SECOND_NS})],
            "rolling restart of 3 tasks, 2 at a time, stop-first, about 55 s",
            TaskCounts(restart=3, seconds=56),
        ),
        ([WORKERS], "1 task moves to another node, stop-first, about 15 s", TaskCounts(restart=1, seconds=13)),
        (
            [put("TaskTemplate.Placement", {"MaxReplicas": 1})],
            "placement only, every task stays where it is",
            TaskCounts(),
        ),
    ],
)
def test_an_update_says_what_happens_to_tasks(changes, text, counts):
    made = action(*changes)
    assert (made.effect_text, made.tasks) == (text, counts)


@pytest.mark.parametrize(
    ("base", "changes", "text", "counts"),
    [
        (
            mode(Global={}),
            [WORKERS],
            "1 task stops on a node that does not fit",
            TaskCounts(stop=1),
        ),
        (
            mode(Global={}),
            [IMAGE, WORKERS],
            "1 task stops on a node that does not fit; rolling restart of 2 tasks, 1 at a time, stop-first, about 25 s",
            TaskCounts(restart=2, stop=1, seconds=26),
        ),
        (
            mode(ReplicatedJob={"MaxConcurrent": 2, "TotalCompletions": 7}),
            [LABEL],
            "the job runs again: 7 tasks start, 2 at a time, 3 still running stop",
            TaskCounts(start=7, stop=3),
        ),
        (
            mode(GlobalJob={}),
            [LABEL],
            "the job runs again: 3 tasks start, 1 on each fitting node, 3 still running stop",
            TaskCounts(start=3, stop=3),
        ),
    ],
)
def test_other_modes(base, changes, text, counts):
    made = action(*changes, base=base)
    assert (made.effect_text, made.tasks) == (text, counts)


def test_a_global_service_starts_on_nodes_that_come_to_fit():
    base = mode(Global={})
    WORKERS(base)
    made = action(put("TaskTemplate.Placement", {}), base=base, tasks=lambda service: one_each(service)[1:])
    assert (made.effect_text, made.tasks) == ("1 task starts on 1 more node", TaskCounts(start=1))


def test_a_paused_node_keeps_the_global_task_that_it_has():
    paused = (*NODES[:2], a_node("n3", Availability="pause"))
    made = action(IMAGE, base=mode(Global={}), nodes=paused)
    assert made.tasks == TaskCounts(restart=2, seconds=26)
    assert made.effect_text.startswith("1 task on a paused node stays as it is; rolling restart of 2 tasks")


def test_another_mode_stops_all_and_starts_anew():
    made = action(put("Mode", {"Global": {}}))
    assert made.effect_text == "3 tasks stop, then 3 tasks start, 1 on each fitting node"
    assert made.tasks == TaskCounts(stop=3, start=3)


def test_a_service_without_tasks_restarts_none():
    made = action(IMAGE, base=service_spec(replicas=0), tasks=lambda service: ())
    assert (made.effect, made.effect_text) == (TaskEffect.NONE, "no task runs, none restarts")


def test_tasks_that_wait_for_a_node_are_replaced_without_a_restart():
    made = action(
        IMAGE, tasks=lambda service: one_each(service, state=TaskState.PENDING, node_id=""), base=service_spec()
    )
    assert made.effect_text == "3 tasks that do not run yet are replaced"
    assert made.tasks == TaskCounts(restart=3)


def test_finished_tasks_run_again():
    base = service_spec()
    base["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    ended = {"state": TaskState.COMPLETE, "desired_state": TaskState.SHUTDOWN}
    made = action(IMAGE, base=base, tasks=lambda service: one_each(service, **ended))
    assert (made.effect_text, made.tasks) == ("3 finished tasks run again", TaskCounts(restart=3))
    assert action(LABEL, base=base, tasks=lambda service: one_each(service, **ended)).tasks == TaskCounts()


def test_whether_what_has_finished_is_begun_again_while_others_go_is_not_sure():
    base = service_spec()
    base["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    ended = {"state": TaskState.COMPLETE, "desired_state": TaskState.SHUTDOWN}
    both = action(put(REPLICAS, 1), IMAGE, base=base, tasks=lambda service: one_each(service, **ended))
    assert both.effect_text == "scale 3 -> 1, 2 finished tasks go; up to 1 finished task runs again"


def test_scaling_down_stops_no_finished_task():
    """Swarm takes of each node's copies those that don't run, and of the nodes those with most copies."""
    base = service_spec()
    base["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    ended = {"state": TaskState.COMPLETE, "desired_state": TaskState.SHUTDOWN}
    all_ended = action(put(REPLICAS, 1), base=base, tasks=lambda service: one_each(service, **ended))
    assert (all_ended.effect_text, all_ended.tasks) == ("scale 3 -> 1, 2 finished tasks go", TaskCounts())

    def one_ended(service: ObservedObject) -> tuple[ObservedTask, ...]:
        return (a_task(service, 1, "n1", **ended), a_task(service, 2, "n1"), a_task(service, 3, "n2"))

    one = action(put(REPLICAS, 2), base=base, tasks=one_ended)
    assert (one.effect_text, one.tasks) == ("scale 3 -> 2, 1 finished task goes", TaskCounts())

    def none_runs_on_its_node(service: ObservedObject) -> tuple[ObservedTask, ...]:
        return (a_task(service, 1, "n1", **ended), a_task(service, 2, "n2"), a_task(service, 3, "n2"))

    made = action(put(REPLICAS, 2), base=base, tasks=none_runs_on_its_node)
    assert (made.effect_text, made.tasks) == ("scale 3 -> 2, 1 task stops", TaskCounts(stop=1))


def test_going_back_in_the_middle_of_an_update_replaces_only_what_it_had_reached():
    """One task runs the new image, the update was paused, and the file asks for the old image again."""

    def tasks(service: ObservedObject) -> tuple[ObservedTask, ...]:
        older = copy.deepcopy(service.spec["TaskTemplate"])
        older["ContainerSpec"]["Image"] = "nginx:1.24"
        first, *others = one_each(service)
        return (first, *(replace(task, up_to_date=False, raw={"Spec": older}) for task in others))

    back = put(f"{CONTAINER}Image", "nginx:1.24")
    made = action(back, tasks=tasks, UpdateStatus={"State": "paused"})
    assert made.effect_text == "rolling restart of 1 task, stop-first, about 15 s"


def test_going_back_in_the_middle_of_an_update_that_changed_a_port_too_replaces_only_what_it_had_reached():
    """The API shows no task's endpoint; those of the image before are of the spec before, with its ports."""
    older = stored(service_spec())

    def tasks(service: ObservedObject) -> tuple[ObservedTask, ...]:
        first, *others = one_each(service)
        former = {"Spec": older["TaskTemplate"]}
        return (first, *(replace(task, up_to_date=False, raw=former) for task in others))

    now = copy.deepcopy(service_spec())
    IMAGE(now)
    put("EndpointSpec.Ports", [{"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}])(now)
    back = (put(f"{CONTAINER}Image", older["TaskTemplate"]["ContainerSpec"]["Image"]), put("EndpointSpec.Ports", []))
    made = action(*back, base=now, tasks=tasks, UpdateStatus={"State": "paused"}, PreviousSpec=older)
    assert made.effect_text == "rolling restart of 1 task, stop-first, about 15 s"


def test_a_label_restarts_nothing_even_where_the_running_spec_is_written_otherwise():
    """`Resources: {}` and an absent Resources are one and the same to us, and two things to Swarm."""

    def tasks(service: ObservedObject) -> tuple[ObservedTask, ...]:
        return one_each(service)

    base = service_spec()
    assert base["TaskTemplate"]["Resources"] == {}
    after = copy.deepcopy(base)
    LABEL(after)
    live = stored(base)
    del live["TaskTemplate"]["Resources"]
    service, network = observed(Kind.SERVICE, live), observed(Kind.NETWORK, network_spec())
    state = replace(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, after)), cluster="")
    (made,) = planned(state, actual(network, service, *NODES, tasks=tasks(service))).actions
    assert made.effect_text == "label only, no task restarts"
    assert made.spec is not None
    assert "Resources" not in made.spec["TaskTemplate"]
    assert made.spec["TaskTemplate"]["Networks"][0]["Target"] == "web_default"


@pytest.mark.parametrize(
    ("spec", "text", "counts"),
    [
        (service_spec(replicas=1), "1 task starts", TaskCounts(start=1)),
        (service_spec(replicas=0), "no task starts, with 0 replicas", TaskCounts()),
        (mode(Global={}), "3 tasks start, 1 on each fitting node", TaskCounts(start=3)),
        (
            mode(ReplicatedJob={"MaxConcurrent": 1, "TotalCompletions": 4}),
            "4 tasks start, 1 at a time",
            TaskCounts(start=4),
        ),
    ],
)
def test_a_new_service(spec, text, counts):
    made = planned(desired(wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, spec)), actual(*NODES))
    assert (made.actions[-1].effect_text, made.actions[-1].tasks) == (text, counts)


def timed(**spec: Any) -> float:
    base = {"TaskTemplate": {"ContainerSpec": {}}, **spec}
    return seconds(base, base, pace_of(base, 4))


def test_how_long_an_update_takes():
    assert timed() == 4 * (10 + 1)
    assert timed(UpdateConfig={}) == 10 + 1, "a block without a parallelism is all at once"
    assert timed(UpdateConfig={"Parallelism": 3, "Delay": 5 * SECOND_NS}) == 2 * (10 + 1) + 5
    assert timed(UpdateConfig={"Parallelism": 2, "Order": "start-first"}) == 2
    assert timed(EndpointSpec={"Ports": [{"TargetPort": 80}]}) == 4 * (2 + 10 + 1)


def test_what_a_task_takes_to_stop_and_to_start():
    def with_container(**container: Any) -> JsonObject:
        return {"TaskTemplate": {"ContainerSpec": container}}

    assert stop_seconds(with_container(StopGracePeriod=0)) == 0
    assert stop_seconds(with_container(StopGracePeriod=600 * SECOND_NS)) == 60, "the updater waits no longer"
    assert stop_seconds(with_container(StopGracePeriod=-SECOND_NS)) == 60, "the engine waits without an end"
    check = {"Test": ["CMD", "true"], "Interval": 5 * SECOND_NS}
    assert start_seconds(with_container(Healthcheck=check)) == 1 + 5
    assert start_seconds(with_container(Healthcheck={**check, "StartPeriod": 40 * SECOND_NS})) == 1 + 40
    assert start_seconds(with_container(Healthcheck={"Test": ["CMD", "true"]})) == 1 + 30
    assert start_seconds(with_container(Healthcheck={"Test": ["NONE"]})) == 1


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.2, "about 1 s"), (39, "about 40 s"), (13, "about 15 s"), (88, "about 90 s"), (130, "about 2 min")],
)
def test_an_estimate_is_told_as_coarse_as_it_is(duration_s, text):
    assert about(duration_s) == text
