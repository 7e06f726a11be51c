"""Whose tasks would have nowhere to go without some nodes."""

from __future__ import annotations

from typing import Any

from reconciler.model.errors import Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.planning.context import Context, Draft
from reconciler.planning.preflight import stranded_by
from tests.unit.planning.builders import actual, desired, wanted
from tests.unit.planning.seats import running, seat, service

ZONED = {"Constraints": ["node.labels.zone==a"]}


def stranded(leaving: set[str], nodes: list[Any], *there: Any, specs: list[JsonObject] | None = None) -> list[Problem]:
    cluster = actual(*nodes, *(found for found, _ in there), tasks=tuple(task for _, tasks in there for task in tasks))
    state = desired(*(wanted(Kind.SERVICE, one) for one in specs or []))
    context = Context.of(state, cluster)
    return list(stranded_by(context, Draft(), {f"id-{name}" for name in leaving}))


def test_tasks_that_fit_elsewhere_are_not_stranded():
    before = running(service(replicas=2, cpus=2), "n1", "n2")
    assert stranded({"n1"}, [seat("n1"), seat("n2")], before) == []


def test_the_only_node_that_meets_a_constraint_strands_its_tasks():
    before = running(service(replicas=2, placement=ZONED), "n1", "n1")
    nodes = [seat("n1", labels={"zone": "a"}), seat("n2")]
    (problem,) = stranded({"n1"}, nodes, before)
    assert problem.what == "Service web_api: 2 of 2 tasks would have nowhere to go."
    assert "not available for new tasks (n1)" in problem.why
    assert "scheduling constraints not satisfied on 1 node (n2)" in problem.why
    assert stranded({"n2"}, nodes, before) == []


def test_room_that_leaving_nodes_had_is_missed():
    before = running(service(replicas=3, cpus=3), "n1", "n2", "n3")
    nodes = [seat("n1"), seat("n2"), seat("n3"), seat("n4")]
    assert stranded({"n1"}, nodes, before) == []
    (problem,) = stranded({"n1", "n2"}, nodes, before)
    assert "1 of 3 tasks" in problem.what


def test_services_compete_for_what_is_left():
    one, other = running(service("web_a", cpus=3), "n1"), running(service("web_b", cpus=3), "n1")
    assert len(stranded({"n1"}, [seat("n1", cpus=6), seat("n2")], one, other)) == 1


def test_what_is_desired_now_counts():
    before = running(service(replicas=3, cpus=4), "n1", "n2", "n3")
    nodes = [seat("n1"), seat("n2"), seat("n3")]
    assert len(stranded({"n1"}, nodes, before, specs=[service(replicas=3, cpus=4)])) == 1
    assert stranded({"n1"}, nodes, before, specs=[service(replicas=2, cpus=4)]) == []


def test_what_could_not_be_placed_before_is_not_the_nodes_fault():
    before = running(service(replicas=2, placement=ZONED), "")
    assert stranded({"n1"}, [seat("n1"), seat("n2")], before) == []


def test_global_services_jobs_and_what_never_restarts_strand_nobody():
    everywhere = running(service("web_all", replicas=None), "n1")
    job = service("web_job")
    job["Mode"] = {"ReplicatedJob": {"MaxConcurrent": 1}}
    once = service("web_once")
    once["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    assert stranded({"n1"}, [seat("n1")], everywhere, running(job, "n1"), running(once, "n1")) == []
    assert len(stranded({"n1"}, [seat("n1")], running(service(), "n1"))) == 1


def test_which_of_two_services_has_nowhere_to_go_is_no_matter_of_how_they_are_listed():
    first, second = (running(service(name, cpus=3), node) for name, node in (("web_a", "n1"), ("web_b", "n2")))
    nodes = [seat("n1"), seat("n2"), seat("n3")]
    told = [stranded({"n1", "n2"}, nodes, *listed) for listed in ((first, second), (second, first))]
    assert [[problem.what for problem in one] for one in told] == [
        ["Service web_b: 1 of 1 tasks would have nowhere to go."]
    ] * 2
