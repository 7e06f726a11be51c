"""What a node shows of a network that its tasks are on, in an engine's shape."""

from __future__ import annotations

from typing import Any

from reconciler.api.endpoints import Swarm, seen_on
from reconciler.manager import shapes
from reconciler.model.commands import CreateNetwork, ReportTask
from reconciler.model.tables import TaskStatus
from reconciler.model.tasks import TaskState
from tests.fakes.virtual_swarm import START, VirtualSwarm, service_spec

CONTAINER = "c" * 64


def a_swarm() -> tuple[VirtualSwarm, str]:
    """Return two nodes, each with a task of web and one of a global service that publishes 8080; and web's id."""
    swarm = VirtualSwarm(nodes=2)
    swarm.do(CreateNetwork(at=START, id="net-id", spec={"Name": "net", "Driver": "overlay", "Labels": {"a": "b"}}))
    networks = {"Networks": [{"Target": "net-id"}]}
    web = swarm.create(service_spec("web", replicas=2, task=networks))
    swarm.settle()
    ports = {"Ports": [{"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}]}
    swarm.create(service_spec("all", replicas=None, EndpointSpec=ports))
    swarm.settle()
    return swarm, web


def seen(swarm: VirtualSwarm, network_id: str, node_id: str = "node1", *, verbose: bool = False) -> Any:
    tables = swarm.tables
    observed = Swarm(
        node_id,
        [shapes.node_object(node) for node in tables.nodes.values()],
        [shapes.service_object(service) for service in tables.services.values()],
        [shapes.observed_task(tables, task) for task in tables.tasks.values()],
    )
    return seen_on(shapes.network_object(tables.networks[network_id]), observed, verbose=verbose)


def test_a_nodes_own_tasks_and_its_endpoint_for_balancing_are_in_a_network() -> None:
    swarm, web = a_swarm()
    task = next(task for task in swarm.running(web) if task.node_id == "node1")
    status = TaskStatus(TaskState.RUNNING, "started", "", START, pid=7, container_id=CONTAINER)
    swarm.do(ReportTask(at=START, task_id=task.id, node_id="node1", status=status))
    found = seen(swarm, "net-id")
    assert found["Labels"] == {"a": "b"}
    assert {key: (one["Name"], one["IPv4Address"]) for key, one in found["Containers"].items()} == {
        CONTAINER: (f"web.1.{task.id}", "10.0.1.3/24"),
        "lb-net": ("net-endpoint", "10.0.1.5/24"),
    }
    assert found["Containers"]["lb-net"]["MacAddress"] == "02:42:0a:00:01:05"
    assert [peer["IP"] for peer in found["Peers"]] == ["10.1.1.1", "10.1.1.1"]
    assert len({peer["Name"] for peer in found["Peers"]}) == 2
    assert "Services" not in found


def test_verbosely_all_who_answer_are_named_wherever_they_run() -> None:
    swarm, _ = a_swarm()
    net, ingress = (seen(swarm, one, verbose=True)["Services"] for one in ("net-id", "i"))
    assert list(net) == ["web"]
    assert (net["web"]["VIP"], net["web"]["Ports"]) == ("10.0.1.2", [])
    assert [one["EndpointIP"] for one in net["web"]["Tasks"]] == ["10.0.1.3", "10.0.1.4"]
    assert net["web"]["Tasks"][0]["Info"] == {"Host IP": "10.1.1.1"}
    assert list(ingress) == ["", "all"]
    assert [one["EndpointIP"] for one in ingress[""]["Tasks"]] == ["10.0.0.2", "10.0.0.3"]
    assert ingress["all"]["Ports"] == ["Target: 80, Publish: 8080"]
    assert "ingress-sbox" in seen(swarm, "i")["Containers"]


def test_a_node_without_tasks_on_a_network_adds_nothing() -> None:
    swarm, _ = a_swarm()
    swarm.add_node("node3")
    assert seen(swarm, "net-id", "node3") == {}
