"""Labels of nodes and constraints of services in one commit: the nodes go first, and what that does is told.

Seen on a real swarm: where a label comes to be, all tasks stay; where one goes or changes, all are replaced.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.model.objects import Kind
from reconciler.model.plan import TaskCounts, TaskEffect
from reconciler.model.tasks import TaskState
from tests.unit.planning.builders import (
    a_node,
    actual,
    desired,
    observed,
    planned,
    running_tasks,
    service_spec,
    wanted,
    wanted_node,
)


def spec(constraint, **mode):
    made = service_spec()
    made["TaskTemplate"].pop("Networks")
    made["TaskTemplate"]["Placement"] = {"Constraints": [constraint]}
    return made | ({"Mode": mode} if mode else {})


@pytest.mark.parametrize("mode", [{}, {"Global": {}}])
@pytest.mark.parametrize(
    ("labels", "constraint", "after", "text"),
    [
        ({"zone": "b"}, "node.labels.zone == b", ["node.n1"], "{} replaced as nodes' labels change"),
        ({}, "node.role == worker", ["node.n1"], "{} replaced as nodes' labels change"),
        ({"zone": "a", "x": "y"}, "node.labels.x == y", ["node.n1"], "placement only, every task stays where it is"),
        ({"zone": "a", "x": "y"}, "node.role == worker", [], "placement only, every task stays where it is"),
    ],
)
def test_a_node_is_labelled_before_the_services_that_look_at_the_label(mode, labels, constraint, after, text):
    live = observed(Kind.SERVICE, spec("node.labels.zone == a", **mode))
    tasks = running_tasks(live) or (replace(running_tasks(observed(Kind.SERVICE, service_spec()))[0], slot=0),)
    tasks = tuple(replace(task, service_id=live.id, raw={"Spec": live.spec["TaskTemplate"]}) for task in tasks)
    cluster = actual(live, a_node("n1", Labels={"zone": "a"}), tasks=tasks)
    state = desired(wanted(Kind.SERVICE, spec(constraint, **mode)), nodes=(wanted_node("n1", labels=labels),))
    node, service = planned(state, cluster).actions
    assert (node.id, list(service.after)) == ("node.n1", after)
    all_of_them = "1 task is" if mode else "3 tasks are"
    assert service.effect_text == text.format(all_of_them)
    assert service.tasks == TaskCounts(restart=len(tasks) if "replaced" in text else 0)
    assert node.effect_text in ("no task restarts", "no task moves"), "the service tells it, and it is told once"


def node_effect(*services, labels=(("zone", "b"),), tasks=(), **node):
    """What the plan says of n1, of zone a, when it is to have `labels`."""
    cluster = actual(*services, a_node("n1", **{"Labels": {"zone": "a"}, **node}), a_node("n2"), tasks=tasks)
    (action,) = planned(desired(nodes=(wanted_node("n1", labels=dict(labels)),)), cluster).actions
    return action.effect, action.effect_text


def on_n1(live, count=1, **changes):
    one = running_tasks(observed(Kind.SERVICE, service_spec()))[0]
    return tuple(replace(one, id=f"{live.id}.{n}", service_id=live.id, slot=n, **changes) for n in range(count))


def live_service(name, constraint, **mode):
    return observed(Kind.SERVICE, {**spec(constraint, **mode), "Name": name})


def test_a_label_alone_tells_which_tasks_it_moves_stops_and_starts():
    api = live_service("api", "node.labels.zone == a")
    stays = live_service("stays", "node.labels.zone != c")
    job = live_service("job", "node.labels.zone == a", ReplicatedJob={"MaxConcurrent": 1})
    agent = live_service("agent", "node.labels.zone == a", Global={})
    other = live_service("other", "node.labels.zone == b", Global={})
    tasks = (*on_n1(api, 2), *on_n1(stays, 3), *on_n1(job), *on_n1(agent), *on_n1(api, node_id="id-n2"))
    told = node_effect(api, stays, job, agent, other, tasks=tasks)
    text = "2 tasks of api move, 1 task of job moves, 1 task of agent stops, 1 task of other starts"
    assert told == (TaskEffect.MOVE, text)


def test_where_no_task_is_on_a_node_that_comes_to_be_excluded_none_moves():
    api = live_service("api", "node.labels.zone == a")
    assert node_effect(api) == (TaskEffect.NONE, "no task moves")
    ended = on_n1(api, state=TaskState.SHUTDOWN, desired_state=TaskState.SHUTDOWN)
    assert node_effect(api, tasks=ended) == (TaskEffect.NONE, "no task moves")


def test_a_paused_node_keeps_its_tasks_and_gets_none():
    api, other = live_service("api", "node.labels.zone == a"), live_service("other", "node.labels.zone == b", Global={})
    assert node_effect(api, other, tasks=on_n1(api), Availability="pause") == (TaskEffect.NONE, "no task moves")


def test_of_many_services_the_first_are_named():
    services = [live_service(f"s{number}", "node.labels.zone == a") for number in range(7)]
    tasks = tuple(task for one in services for task in on_n1(one))
    assert node_effect(*services, tasks=tasks)[1].endswith("1 task of s4 moves and 2 more")


def effect_of_activation(*services, tasks=(), before="drain", constraint_met=True):
    """What the plan says of n1 when it is to take tasks again."""
    zone = "a" if constraint_met else "z"
    cluster = actual(*services, a_node("n1", Labels={"zone": zone}, Availability=before), a_node("n2"), tasks=tasks)
    (action,) = planned(desired(nodes=(wanted_node("n1", availability="active"),)), cluster).actions
    return action.effect, action.effect_text


def waiting(live, count):
    """Tasks of a service for which Swarm has found no node."""
    state = {"state": TaskState.PENDING, "node_id": "", "message": "no suitable node (1 node not available)"}
    return on_n1(live, count, **state)


@pytest.mark.parametrize("before", ["drain", "pause"])
def test_a_node_that_takes_tasks_again_tells_which_start(before):
    agent, job = live_service("agent", "node.labels.zone == a", Global={}), live_service("job", "node.role == worker")
    api = live_service("api", "node.labels.zone == a")
    services = (agent, api, job, live_service("once", "node.labels.zone == a", GlobalJob={}))
    tasks = (*waiting(api, 2), *on_n1(job, node_id="id-n2"))
    told = effect_of_activation(*services, tasks=tasks, before=before)
    assert told == (TaskEffect.MOVE, "1 task of agent starts, 2 waiting tasks of api may start")
    elsewhere = effect_of_activation(*services, tasks=tasks, before=before, constraint_met=False)
    assert elsewhere == (TaskEffect.NONE, "no task moves")


def test_a_global_service_whose_task_a_paused_node_has_kept_gets_no_other_there():
    agent = live_service("agent", "node.labels.zone == a", Global={})
    assert effect_of_activation(agent, tasks=on_n1(agent), before="pause") == (TaskEffect.NONE, "no task moves")
    older = on_n1(agent, up_to_date=False)
    told = (TaskEffect.MOVE, "1 task of agent restarts")
    assert effect_of_activation(agent, tasks=older, before="pause") == told, "it was updated while the node was paused"


@pytest.mark.parametrize(("before", "counts"), [("pause", TaskCounts(restart=2)), ("drain", TaskCounts(1, 1))])
def test_what_a_service_tells_of_its_tasks_on_a_node_that_takes_some_again_is_told_once(before, counts):
    agent = live_service("agent", "node.labels.zone == a", Global={})
    tasks = tuple(
        replace(task, id=node, slot=0, node_id=node, raw={"Spec": agent.spec["TaskTemplate"]})
        for node in (["id-n1", "id-n2"] if before == "pause" else ["id-n2"])
        for task in on_n1(agent, up_to_date=False)
    )
    nodes = a_node("n1", Labels={"zone": "a"}, Availability=before), a_node("n2", Labels={"zone": "a"})
    newer = {**agent.spec, "TaskTemplate": {**agent.spec["TaskTemplate"], "Runtime": "runsc"}}
    state = desired(wanted(Kind.SERVICE, newer), nodes=(wanted_node("n1", availability="active"),))
    node, service = planned(state, actual(agent, *nodes, tasks=tasks)).actions
    assert service.tasks is not None
    assert replace(service.tasks, seconds=None) == counts
    assert (node.effect, node.effect_text) == (TaskEffect.NONE, "no task moves")


def test_a_label_tells_of_tasks_that_waited_for_a_node_with_it():
    other = live_service("other", "node.labels.zone == b")
    assert node_effect(other, tasks=waiting(other, 2)) == (TaskEffect.MOVE, "2 waiting tasks of other may start")
