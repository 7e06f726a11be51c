"""Labels of nodes and constraints of services in one commit: the nodes go first, and what that does is told.

Seen on a real swarm: where a label comes to be, all tasks stay; where one goes or changes, all are replaced.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.objects import Kind
from reconciler.model.plan import TaskCounts
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
