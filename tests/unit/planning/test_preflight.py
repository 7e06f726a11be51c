"""Placement pre-flight: each reason why a task finds no node, told before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    desired,
    planned,
    wanted,
    wanted_node,
)
from tests.unit.planning.seats import a_task, host_port, running, seat, service, warned

THREE = [seat("n1"), seat("n2"), seat("n3")]


def only(problems: list[Problem]) -> Problem:
    (problem,) = problems
    assert problem.severity is Severity.WARNING
    return problem


def test_tasks_that_find_a_node_are_no_news():
    assert warned([service(replicas=30), service("web_all", replicas=None)], THREE) == []


def test_a_service_that_no_action_touches_is_not_looked_at():
    spec = service(placement={"Constraints": ["node.labels.zone==nowhere"]})
    assert warned([spec], THREE, running(spec, "", owner="prod")) == []


NO_NODE = "no suitable node (scheduling constraints not satisfied on 3 nodes)"


def waiting_for_a_node(spec: JsonObject, reason: str = NO_NODE, **fields: Any) -> Any:
    """The service as it runs: one task on n1, and one without a node."""
    found, tasks = running(spec, "n1", owner="prod")
    stuck = a_task(found, "", slot=2, Status={"State": "pending", "Err": reason}, **fields)
    return found, [*tasks, stuck]


def test_a_service_left_alone_is_told_when_swarm_finds_no_node_for_its_tasks():
    spec = service(replicas=2, placement={"Constraints": ["node.labels.zone==a"]})
    problem = only(warned([spec], THREE, waiting_for_a_node(spec)))
    assert (problem.code, problem.place) == (ErrorCode.UNSCHEDULABLE, HERE)
    assert problem.what == "Service web_api: 1 task waits for a node, and this plan does not change that."
    assert problem.why == f"N{NO_NODE[1:]}."
    other = service("web_other")
    assert [one.what for one in warned([spec, other], THREE, waiting_for_a_node(spec))] == [problem.what]


def test_a_global_service_left_alone_is_told_when_its_tasks_do_not_fit_on_their_nodes():
    """Its tasks have their nodes from the start, so Swarm says what the node lacks, and not that no node suits."""
    spec = service(replicas=None, cpus=3)
    found, tasks = running(spec, "n1", owner="prod")
    status = {"State": "pending", "Err": "insufficient resources on 1 node"}
    stuck = [a_task(found, node, slot=0, Status=status) for node in ("n3", "n2")]
    problem = only(warned([spec], THREE, (found, [*tasks, *stuck])))
    assert (
        problem.what == "Service web_api: 2 tasks can't run on their nodes n2, n3, and this plan does not change that."
    )
    assert problem.why == "Insufficient resources on 1 node."
    assert "can't run on its node n3," in only(warned([spec], THREE, (found, [*tasks, stuck[0]]))).what


def test_only_todays_pending_tasks_of_declared_services_without_an_action_are_told():
    spec = service(replicas=2)
    assert warned([spec], THREE, waiting_for_a_node(spec, reason="")) == []
    assert warned([spec], THREE, waiting_for_a_node(spec, DesiredState="shutdown")) == []
    assert warned([service(replicas=2, image="app:2")], THREE, waiting_for_a_node(spec)) == []
    theirs = waiting_for_a_node(service("other_api", replicas=2))
    assert warned([], THREE, theirs) == []


def test_a_plan_that_makes_room_for_waiting_tasks_says_nothing_of_them():
    spec = service(replicas=2, cpus=3)
    full = waiting_for_a_node(spec, "no suitable node (insufficient resources on 1 node)")
    nodes = [seat("n1"), seat("n2")]
    hog = running(service("web_hog", cpus=3), "n2", owner="prod")
    assert "waits for a node" in only(warned([spec, service("web_hog", cpus=3)], nodes, full, hog)).what
    assert warned([spec, service("web_hog", cpus=0.5)], nodes, full, hog) == []
    less = service("web_hog", cpus=2)
    assert "waits for a node" in only(warned([spec, less], nodes, full, hog)).what


CASES: list[tuple[JsonObject, list[Any], str, str]] = [
    (
        service(replicas=2, placement={"Constraints": ["node.labels.disk == ssd"]}),
        THREE,
        "No suitable node (scheduling constraints not satisfied on 3 nodes (n1, n2, n3)).",
        "No available node meets node.labels.disk == ssd. Label a node",
    ),
    (
        service(replicas=2, placement={"Constraints": ["node.hostname==n1", "node.role==manager"]}),
        THREE,
        "scheduling constraints not satisfied on 3 nodes",
        "No available node meets node.role==manager. Change the constraint",
    ),
    (
        service(replicas=2, placement={"Constraints": ["node.lables.disk == ssd"]}),
        THREE,
        "scheduling constraints not satisfied on 3 nodes",
        "No node ever meets node.lables.disk == ssd: Swarm knows no such key. Write one of node.id,",
    ),
    (
        service(replicas=2, cpus=5),
        THREE,
        "insufficient resources on 3 nodes (n1, n2, n3)",
        "A task reserves 5 CPUs; before this plan's tasks one node has at most 4 CPUs free.",
    ),
    (service(replicas=2, gib=9), THREE, "insufficient resources on 3 nodes", "reserves 9 GiB"),
    (service(replicas=2, gib=900 * 1024), THREE, "insufficient resources", "reserves 921600 GiB; before"),
    (service(replicas=2, cpus=1), [seat("n1", cpus=0)], "insufficient resources", "reserves 1 CPU; before"),
    (service(replicas=2, cpus=0.5, gib=1.5), [seat("n1", cpus=0)], "insufficient", "0.5 CPUs, 1.5 GiB; b"),
    (service(replicas=2, generic=1), THREE, "insufficient resources on 3 nodes", "reserves 1 gpu"),
    (
        service(replicas=2, placement={"Platforms": [{"OS": "linux", "Architecture": "arm64"}]}),
        THREE,
        "unsupported platform on 3 nodes",
        "The image is for linux/arm64, the nodes are linux/x86_64.",
    ),
    (
        service(replicas=2),
        [seat("n1", availability="drain"), seat("n2", state="down"), seat("n3", availability="pause")],
        "3 nodes not available for new tasks (n1, n2, n3)",
        "docker node ls",
    ),
]


@pytest.mark.parametrize(("spec", "nodes", "why", "hint"), CASES)
def test_each_reason_is_told_with_the_nodes_and_a_hint(spec: JsonObject, nodes: list[Any], why: str, hint: str):
    problem = only(warned([spec], nodes))
    assert problem.code is ErrorCode.UNSCHEDULABLE
    assert problem.what == "Service web_api: 2 of 2 tasks can't be placed."
    assert why in problem.why
    assert hint in problem.hint


def test_a_volume_driver_that_no_engine_has_is_a_missing_plugin():
    spec = service()
    mount = {"Type": "volume", "Target": "/d", "Source": "d", "VolumeOptions": {"DriverConfig": {"Name": "rexray"}}}
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"] = [mount]
    problem = only(warned([spec], THREE))
    assert problem.what == "Service web_api: its task can't be placed."
    assert "missing plugin on 3 nodes" in problem.why
    assert "rexray (volume)" in problem.hint
    equipped = seat("n4", plugins=(("Volume", "rexray:latest"),))
    assert warned([spec], [*THREE, equipped]) == []
    second = {"Type": "volume", "Target": "/n", "Source": "n", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}}
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"].append(second)
    problem = only(warned([spec], [seat("n1", plugins=(("Volume", "nfs"),))]))
    assert problem.hint.startswith("It needs rexray (volume): ")


def test_an_architecture_goes_by_both_of_its_names():
    spec = service(placement={"Platforms": [{"OS": "linux", "Architecture": "amd64"}]})
    assert warned([spec], THREE) == []


def test_generic_resources_are_counted_named_or_not():
    discrete = seat("n1", generic=({"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}},))
    named = seat("n2", generic=({"NamedResourceSpec": {"Kind": "gpu", "Value": "uuid1"}},))
    assert warned([service(replicas=3, generic=1)], [discrete, named]) == []
    assert "1 of 4 tasks" in only(warned([service(replicas=4, generic=1)], [discrete, named])).what


def no_gpu(name: str = "web_api", **fields: Any) -> JsonObject:
    """A service that reserves none of a kind."""
    spec = service(name, **fields)
    none = {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 0}}
    spec["TaskTemplate"]["Resources"] = {"Reservations": {"GenericResources": [none]}}
    return spec


def test_even_a_reservation_of_0_needs_a_node_that_has_the_kind():
    problem = only(warned([no_gpu(replicas=2)], THREE))
    assert problem.what == "Service web_api: 2 of 2 tasks can't be placed."
    assert "insufficient resources on 3 nodes (n1, n2, n3)" in problem.why
    assert "reserves 0 gpu" in problem.hint
    equipped = seat("n4", generic=({"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}},))
    assert warned([no_gpu(replicas=9)], [*THREE, equipped]) == [], "as many as are asked for"
    named = seat("n4", generic=({"NamedResourceSpec": {"Kind": "gpu", "Value": "uuid1"}},))
    assert warned([no_gpu(replicas=9)], [*THREE, named]) == []


def test_a_kind_that_is_used_up_is_not_there_for_a_reservation_of_0():
    two = seat("n1", generic=({"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}},))
    hog = running(service("web_hog", generic=2), "n1", owner="prod")
    assert "insufficient resources on 1 node" in only(warned([service("web_hog", generic=2), no_gpu()], [two], hog)).why
    hog = running(service("web_hog", generic=1), "n1", owner="prod")
    assert warned([service("web_hog", generic=1), no_gpu()], [two], hog) == []
    assert warned([service("web_all", generic=2), no_gpu()], [two]) == [], "where it comes first, it finds the kind"


def test_several_reasons_are_told_together_the_most_frequent_first():
    nodes = [seat("n1"), seat("n2"), seat("n3", labels={"zone": "a"}, cpus=1)]
    spec = service(cpus=2, placement={"Constraints": ["node.labels.zone==a"]})
    problem = only(warned([spec], nodes))
    expected = "scheduling constraints not satisfied on 2 nodes (n1, n2); insufficient resources on 1 node (n3)"
    assert problem.why == f"No suitable node ({expected})."


def test_what_running_tasks_reserve_is_not_free():
    other = running(service("web_db", cpus=3), "n1", owner="prod")
    nodes = [seat("n1"), seat("n2", cpus=1)]
    specs = [service("web_db", cpus=3), service(cpus=2)]
    assert "insufficient resources on 2 nodes" in only(warned(specs, nodes, other)).why
    assert warned(specs, [seat("n1", cpus=5), seat("n2", cpus=1)], other) == []


def test_as_many_tasks_as_fit_are_counted():
    assert warned([service(replicas=6, cpus=2)], THREE) == []
    assert "Service web_api: 2 of 8 tasks" in only(warned([service(replicas=8, cpus=2)], THREE)).what


def test_a_host_port_is_there_once_on_each_node():
    assert warned([service(replicas=3, ports=(host_port(80),))], THREE) == []
    problem = only(warned([service(replicas=5, ports=(host_port(80),))], THREE))
    assert problem.what == "Service web_api: 2 of 5 tasks can't be placed."
    assert "host-mode port already in use on 3 nodes" in problem.why
    assert "80/tcp once" in problem.hint


def test_a_host_port_that_another_services_task_has_is_taken_there():
    other = running(service("web_lb", replicas=2, ports=(host_port(80),)), "n1", "n2", owner="prod")
    specs = [service("web_lb", replicas=2, ports=(host_port(80),)), service(replicas=2, ports=(host_port(80),))]
    assert "1 of 2 tasks" in only(warned(specs, THREE, other)).what
    specs[1] = service(replicas=2, ports=(host_port(81),))
    assert warned(specs, THREE, other) == []


def test_replicas_are_limited_on_each_node():
    assert warned([service(replicas=6, placement={"MaxReplicas": 2})], THREE) == []
    problem = only(warned([service(replicas=7, placement={"MaxReplicas": 2})], THREE))
    assert "1 of 7 tasks" in problem.what
    assert "max replicas per node limit exceed on 3 nodes" in problem.why


def test_tasks_that_stay_count_towards_a_scale_up():
    before = running(service(replicas=2, placement={"MaxReplicas": 1}), "n1", "n2", owner="prod")
    assert warned([service(replicas=3, placement={"MaxReplicas": 1})], THREE, before) == []
    assert "1 of 4 tasks" in only(warned([service(replicas=4, placement={"MaxReplicas": 1})], THREE, before)).what


def test_a_stop_first_update_uses_what_its_old_tasks_leave():
    before = running(service(replicas=3, cpus=4, ports=(host_port(80),)), "n1", "n2", "n3", owner="prod")
    after = service(replicas=3, cpus=4, ports=(host_port(80),), image="app:2")
    assert warned([after], THREE, before) == []


@pytest.mark.parametrize(("cpus", "ports"), [(3, ()), (0, (host_port(80),))])
def test_a_start_first_update_without_room_for_one_more_task_can_never_begin(cpus: int, ports: Any):
    def spec(image: str) -> JsonObject:
        return service(replicas=3, cpus=cpus, ports=ports, image=image, UpdateConfig={"Order": "start-first"})

    before = running(spec("app:1"), "n1", "n2", "n3", owner="prod")
    problem = only(warned([spec("app:2")], THREE, before))
    assert problem.what == "Service web_api: its start-first update can't begin."
    assert "stop-first" in problem.hint
    assert warned([spec("app:2")], [*THREE, seat("n4")], before) == [], "one free node is enough, step by step"


def test_a_global_start_first_update_needs_room_beside_the_old_task_on_the_same_node():
    def spec(image: str) -> JsonObject:
        return service(replicas=None, ports=(host_port(80),), image=image, UpdateConfig={"Order": "start-first"})

    before = running(spec("app:1"), "n1", "n2", "n3", owner="prod")
    problem = only(warned([spec("app:2")], [*THREE, seat("n4")], before))
    assert problem.what == "Service web_api: its start-first update can't begin on 3 of 4 nodes."


def test_a_change_of_the_placement_moves_only_what_no_longer_suits():
    nodes = [seat("n1", labels={"zone": "a"}, cpus=1), seat("n2", labels={"zone": "b"}, cpus=1)]
    before = running(service(replicas=2, cpus=1), "n1", "n2", owner="prod")
    moved = service(replicas=2, cpus=1, placement={"Constraints": ["node.labels.zone==a"]})
    assert "1 of 2 tasks" in only(warned([moved], nodes, before)).what
    assert (
        warned([service(replicas=2, cpus=1, placement={"Constraints": ["node.labels.zone!=c"]})], nodes, before) == []
    )


def test_a_scale_down_frees_what_the_surplus_had():
    before = running(service(replicas=3, cpus=4), "n1", "n2", "n3", owner="prod")
    specs = [service(replicas=2, cpus=4), service("web_new", cpus=4)]
    assert warned(specs, THREE, before) == []
    assert "web_new" in only(warned([service(replicas=3, cpus=4), specs[1]], THREE, before)).what


def test_tasks_that_end_are_not_in_the_way():
    found, _ = running(service("web_old", cpus=4), "n1", owner="prod")
    ending = a_task(found, "n1", slot=1, DesiredState="shutdown")
    specs = [service("web_old", cpus=4), service(cpus=4)]
    assert warned(specs, [seat("n1"), seat("n2")], (found, [ending, a_task(found, "n2", slot=1)])) == []


def test_a_global_service_skips_nodes_by_constraint_and_needs_one():
    zoned = service(replicas=None, placement={"Constraints": ["node.labels.zone==a"]})
    assert warned([zoned], [seat("n1", labels={"zone": "a"}), seat("n2")]) == []
    problem = only(warned([zoned], THREE))
    assert problem.what == "Service web_api: no node can run its task."


def test_a_global_service_waits_where_only_room_is_missing():
    problem = only(warned([service(replicas=None, cpus=3)], [seat("n1"), seat("n2", cpus=2)]))
    assert problem.what == "Service web_api: its task can't run on 1 of 2 nodes that it is meant for."
    assert problem.why == "Insufficient resources on 1 node (n2)."


def test_a_global_task_that_waits_on_its_node_holds_nothing_of_it():
    found, _ = running(service("web_all", replicas=None, cpus=5), "n1", owner="prod")
    waiting = a_task(found, "n1", slot=0, Status={"State": "pending"})
    specs = [service("web_all", replicas=None, cpus=5), service(cpus=4)]
    assert warned(specs, [seat("n1")], (found, [waiting])) == []


def test_a_job_is_measured_by_what_runs_at_a_time():
    job = service(cpus=2)
    job["Mode"] = {"ReplicatedJob": {"MaxConcurrent": 4, "TotalCompletions": 40}}
    assert warned([job], [seat("n1"), seat("n2")]) == []
    problem = only(warned([job], [seat("n1"), seat("n2", cpus=2)]))
    assert problem.what == "Service web_api: 1 of 4 tasks that it runs at a time can't be placed."
    job["Mode"] = {"ReplicatedJob": {"MaxConcurrent": 4, "TotalCompletions": 3}}
    assert warned([job], [seat("n1"), seat("n2", cpus=2)]) == []


def test_services_of_one_plan_share_the_nodes():
    specs = [service("web_a", replicas=2, cpus=3), service("web_b", replicas=2, cpus=3)]
    problem = only(warned(specs, THREE))
    assert problem.what == "Service web_b: 1 of 2 tasks can't be placed."
    assert "other services of this plan" in problem.why


def test_what_a_lucky_order_could_place_is_no_warning():
    roaming = service("web_a", cpus=4)
    bound = service("web_b", cpus=4, placement={"Constraints": ["node.hostname==n1"]})
    assert warned([roaming, bound], [seat("n1"), seat("n2")]) == []
    assert len(warned([roaming, bound], [seat("n1")])) == 1


def test_nodes_count_as_the_plan_makes_them():
    spec = service(placement={"Constraints": ["node.labels.zone==a", "node.role==manager"]})
    nodes = [seat("n1", availability="drain"), seat("n2"), a_node("m1", role="manager", Availability="drain")]
    labelled = wanted_node("n1", role="manager", availability="active", labels={"zone": "a"})
    assert len(warned([spec], nodes)) == 1
    assert warned([spec], nodes, nodes=(labelled,)) == []


def test_tasks_that_a_lost_label_drives_off_are_looked_a_place_for():
    spec = service(placement={"Constraints": ["node.labels.zone==a"]})
    before = running(spec, "n1", owner="prod")
    nodes = [seat("n1", labels={"zone": "a"}), seat("n2")]
    relabelled = wanted_node("n1", labels={"zone": "b"})
    assert "web_api" in only(warned([spec], nodes, before, nodes=(relabelled,))).what
    others = (relabelled, wanted_node("n2", labels={"zone": "a"}))
    assert warned([spec], nodes, before, nodes=others) == []


def test_a_warning_points_at_the_line_that_asks():
    line = Place("stacks/web.yaml", 17, 9, "services.api.deploy.placement.constraints")
    asked = wanted(Kind.SERVICE, service(placement={"Constraints": ["node.labels.zone==a"]}))
    lines = {"TaskTemplate.Placement.Constraints": line}
    located = type(asked)(**{**fields_of(asked), "where": lines.get})
    made = planned(desired(located), actual(*THREE))
    assert made.unplaceable[0].place == line
    assert planned(desired(asked), actual(*THREE)).unplaceable[0].place == HERE


def fields_of(asked: Any) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in ("kind", "name", "stack", "spec", "place", "needs", "prune")}


def test_many_nodes_are_not_all_named():
    nodes = [seat(f"n{number}") for number in range(1, 9)]
    problem = only(warned([service(cpus=9)], nodes))
    assert "on 8 nodes (n1, n2, n3, n4, n5 and 3 more)" in problem.why


def test_a_rolling_update_with_two_tasks_in_a_slot_counts_one():
    found, tasks = running(service("web_db", cpus=2), "n1", owner="prod")
    stale = ObservedTask.from_api(a_task(found, "n2", slot=1).raw, up_to_date=False)
    specs = [service("web_db", cpus=2), service(cpus=4)]
    assert warned(specs, [seat("n1"), seat("n2")], (found, [stale, *tasks])) == []


def test_slots_that_a_restart_policy_leaves_ended_are_not_filled():
    spec = service(replicas=2, cpus=4)
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "none"}
    found, tasks = running(spec, "n1", owner="prod")
    ended = a_task(found, "n2", slot=2, DesiredState="shutdown", Status={"State": "complete"})
    other = {**spec, "Labels": {**spec["Labels"], "note": "new"}}
    assert warned([other], [seat("n1")], (found, [*tasks, ended])) == []
