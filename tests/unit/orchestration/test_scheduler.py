"""Where tasks go, and the words for why they go nowhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from reconciler.model.commands import UpdateCluster
from reconciler.model.constraints import parse_constraint
from reconciler.model.json import JsonObject
from reconciler.model.tables import TaskRecord
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import GIB, SECOND, VirtualSwarm, service_spec


def placed(swarm: VirtualSwarm, **task: Any) -> tuple[str, str]:
    """Return (node, explanation) of the only task of a new service with this template."""
    service_id = swarm.create(service_spec(f"s{swarm.tables.index}", task=task))
    swarm.settle()
    (found,) = swarm.live(service_id)
    return found.node_id, found.status.err


def placement(**fields: Any) -> JsonObject:
    return {"Placement": fields}


def host_port(port: int) -> JsonObject:
    return {"Ports": [{"TargetPort": 80, "PublishedPort": port, "PublishMode": "host"}]}


@pytest.mark.parametrize(
    ("constraint", "nodes"),
    [
        ("node.hostname == node2", ["node2"]),
        ("node.hostname!=node2", ["node1", "node3"]),
        ("NODE.ROLE==Manager", ["node1"]),
        ("node.role != manager", ["node2", "node3"]),
        ("node.id == node3", ["node3"]),
        ("node.labels.zone == A", ["node2"]),
        ("node.labels.zone != a", ["node1", "node3"]),
        ("node.labels.Zone == a", []),
        ("node.platform.os == linux", ["node1", "node2", "node3"]),
        ("node.ip == 10.1.0.0/16", ["node1", "node2", "node3"]),
        ("node.ip != 10.1.1.1", []),
        ("node.ip == nonsense", []),
        ("engine.labels.x == y", []),
        ("node.color == blue", []),
    ],
)
def test_constraints_choose_nodes(constraint: str, nodes: list[str]) -> None:
    swarm = VirtualSwarm()
    swarm.set_node("node2", Labels={"zone": "a"})
    assert [node.hostname for node in swarm.tables.nodes.values() if parse_constraint(constraint).holds(node)] == nodes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node.role=manager", "constraint expected one operator from ==, !="),
        ("==x", "key '' is invalid"),
        ("node.labels.a b == c", "key 'node.labels.a b' is invalid"),
        ("node.role == ", "value '' is invalid"),
        ("node.role == a{b", "value 'a{b' is invalid"),
    ],
)
def test_a_malformed_constraint_is_told_in_swarms_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(").replace("=", "[=]") + "$"):
        parse_constraint(text)


def test_the_reasons_of_all_nodes_are_counted_most_frequent_first() -> None:
    swarm = VirtualSwarm(nodes=4)
    swarm.set_node("node1", Availability="drain")
    _, err = placed(swarm, **placement(Constraints=["node.labels.moon==full"]))
    assert err == (
        "no suitable node (scheduling constraints not satisfied on 3 nodes; 1 node not available for new tasks)"
    )


def test_without_any_node_the_text_is_short() -> None:
    swarm = VirtualSwarm(nodes=0)
    assert placed(swarm) == ("", "no suitable node")


def test_reservations_are_counted_and_freed() -> None:
    swarm = VirtualSwarm(nodes=1)
    half: JsonObject = {"Resources": {"Reservations": {"NanoCPUs": 2 * SECOND, "MemoryBytes": 4 * GIB}}}
    web = swarm.create(service_spec(replicas=3, task=half))
    swarm.settle()
    assert len(swarm.running(web)) == 2
    (waiting,) = [task for task in swarm.live(web) if task.state is TaskState.PENDING]
    assert waiting.status.err == "no suitable node (insufficient resources on 1 node)"
    swarm.update(web, service_spec(replicas=2, task=half))
    other = swarm.create(service_spec("other", task=half))
    swarm.settle()
    assert swarm.running(other) == []
    swarm.update(web, service_spec(replicas=1, task=half))
    swarm.rest()
    assert len(swarm.running(other)) == 1


def test_a_host_port_is_taken_once_a_node() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=3, EndpointSpec=host_port(8080)))
    swarm.settle()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 1, "node2": 1}
    (waiting,) = [task for task in swarm.live(web) if task.state is TaskState.PENDING]
    assert waiting.status.err == "no suitable node (host-mode port already in use on 2 nodes)"


def test_max_replicas_limit_each_node() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(replicas=5, task=placement(MaxReplicas=2)))
    swarm.settle()
    assert Counter(task.node_id for task in swarm.running(web)) == {"node1": 2, "node2": 2}
    (waiting,) = [task for task in swarm.live(web) if task.state is TaskState.PENDING]
    assert waiting.status.err == "no suitable node (max replicas per node limit exceed)"


def test_a_waiting_task_is_placed_as_soon_as_a_node_fits() -> None:
    swarm = VirtualSwarm(nodes=2)
    web = swarm.create(service_spec(task=placement(Constraints=["node.labels.disk==ssd"])))
    swarm.settle()
    assert swarm.running(web) == []
    swarm.set_node("node2", Labels={"disk": "ssd"})
    swarm.settle()
    (task,) = swarm.running(web)
    assert (task.node_id, task.status.err) == ("node2", "")


def test_the_node_with_fewer_tasks_in_all_is_preferred_between_equals() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.create(service_spec("a", task=placement(Constraints=["node.hostname==node1"])))
    swarm.settle()
    assert placed(swarm)[0] == "node2"


def test_spread_preferences_balance_over_label_values_before_nodes() -> None:
    swarm = VirtualSwarm(nodes=0)
    for hostname, zone in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        swarm.add_node(hostname, zone=zone)
    preferences = [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]
    web = swarm.create(service_spec(replicas=6, task=placement(Preferences=preferences)))
    swarm.settle()
    zones = Counter(swarm.node(task.node_id).labels["zone"] for task in swarm.running(web))
    assert zones == {"a": 3, "b": 3}


def test_a_node_on_which_a_service_keeps_failing_is_avoided() -> None:
    swarm = VirtualSwarm(nodes=2)
    swarm.exits = lambda task: 1 if task.node_id == "node1" else None
    web = swarm.create(service_spec(replicas=1, task={"RestartPolicy": {"Delay": SECOND}}))
    other = swarm.create(service_spec("other", replicas=9, task=placement(Constraints=["node.hostname==node2"])))
    swarm.advance(30)
    assert len(swarm.running(other)) == 9
    assert [task.node_id for task in swarm.running(web)] == ["node2"]


def test_failures_count_though_no_history_of_them_is_kept() -> None:
    swarm = VirtualSwarm(nodes=2)
    version = swarm.tables.cluster.version if swarm.tables.cluster else 0
    forgetful = {"Name": "default", "Orchestration": {"TaskHistoryRetentionLimit": 1}}
    swarm.do(UpdateCluster(at=swarm.now, version=version, spec=forgetful))
    swarm.exits = lambda task: 1 if task.node_id == "node1" else None
    web = swarm.create(service_spec(task={"RestartPolicy": {"Delay": SECOND}}))
    swarm.create(service_spec("other", replicas=9, task=placement(Constraints=["node.hostname==node2"])))
    swarm.advance(3)
    assert {task.node_id for task in swarm.tasks(web)} == {"node1"}
    swarm.advance(30)
    assert len(swarm.tasks(web)) == 1
    assert [task.node_id for task in swarm.running(web)] == ["node2"]


def test_fewer_failures_than_five_count_for_nothing() -> None:
    swarm = VirtualSwarm(nodes=2)
    failed: list[str] = []

    def exits(task: TaskRecord) -> int | None:
        failed.append(task.node_id)
        return 1 if len(failed) <= 4 else None

    swarm.exits = exits
    web = swarm.create(service_spec(task={"RestartPolicy": {"Delay": 0}}))
    swarm.rest()
    assert failed == ["node1"] * 5
    assert [task.node_id for task in swarm.running(web)] == ["node1"]
