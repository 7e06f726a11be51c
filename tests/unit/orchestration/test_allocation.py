"""Addresses of services and tasks: which they get, when they are free again, and what happens when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.commands import (
    CreateNetwork,
    InitCluster,
    RemoveNetwork,
    RemoveService,
    RemoveTask,
)
from reconciler.model.json import JsonObject
from reconciler.model.tables import JoinTokens, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.decide import decide
from reconciler.store.indexes import indexes_of
from tests.fakes.virtual_swarm import START, VirtualSwarm, service_spec


def network(swarm: VirtualSwarm, name: str, **pool: Any) -> str:
    ipam = {"IPAM": {"Config": [pool]}} if pool else {}
    return swarm.do(CreateNetwork(at=START, id=f"{name}-id", spec={"Name": name, "Driver": "overlay", **ipam}))


def on(*networks: str, **fields: Any) -> JsonObject:
    task = {"Networks": [{"Target": name} for name in networks], **fields.pop("task", {})}
    return service_spec(task=task, **fields)


def published(port: int = 8080, mode: str = "ingress") -> JsonObject:
    return {"Ports": [{"TargetPort": 80, "PublishedPort": port, "PublishMode": mode}]}


def addresses(tasks: list[TaskRecord]) -> list[list[str]]:
    return [[address for _, address in task.attachments] for task in tasks]


def test_a_service_and_its_tasks_get_addresses_in_order() -> None:
    swarm = VirtualSwarm()
    network(swarm, "net")
    web = swarm.create(on("net", replicas=2))
    swarm.settle()
    assert swarm.service(web).virtual_ips == (("net-id", "10.0.1.2/24"),)
    assert addresses(swarm.running(web)) == [["10.0.1.3/24"], ["10.0.1.4/24"]]


def test_a_service_without_a_virtual_ip_has_only_its_tasks_addresses() -> None:
    swarm = VirtualSwarm()
    network(swarm, "net")
    web = swarm.create(on("net", EndpointSpec={"Mode": "dnsrr"}))
    swarm.settle()
    assert swarm.service(web).virtual_ips == ()
    assert addresses(swarm.running(web)) == [["10.0.1.2/24"]]


def test_a_published_port_leads_through_ingress_which_comes_first() -> None:
    swarm = VirtualSwarm()
    network(swarm, "net")
    web = swarm.create(on("net", EndpointSpec=published()))
    swarm.settle()
    assert swarm.service(web).virtual_ips == (("i", "10.0.0.5/24"), ("net-id", "10.0.1.2/24"))  # 2 to 4: nodes
    assert addresses(swarm.running(web)) == [["10.0.0.6/24", "10.0.1.3/24"]]


def test_a_port_in_host_mode_takes_no_address_of_ingress() -> None:
    swarm = VirtualSwarm()
    web = swarm.create(service_spec(EndpointSpec=published(mode="host")))
    swarm.settle()
    assert (swarm.service(web).virtual_ips, addresses(swarm.running(web))) == ((), [[]])


def test_an_update_keeps_what_is_still_of_use_and_appends_ingress() -> None:
    swarm = VirtualSwarm()
    network(swarm, "one")
    network(swarm, "two")
    web = swarm.create(on("one"))
    swarm.settle()
    swarm.update(web, on("one", "two", EndpointSpec=published()))
    assert swarm.service(web).virtual_ips == (
        ("one-id", "10.0.1.2/24"),
        ("i", "10.0.0.5/24"),
        ("two-id", "10.0.2.2/24"),
    )
    swarm.update(web, on("two"))
    assert swarm.service(web).virtual_ips == (("two-id", "10.0.2.2/24"),)
    swarm.update(web, on("two", EndpointSpec={"Mode": "dnsrr"}))
    assert swarm.service(web).virtual_ips == ()


def test_an_address_that_was_given_back_is_not_given_again_soon() -> None:
    swarm = VirtualSwarm(nodes=1)
    network(swarm, "net", Subnet="10.9.0.0/29")  # .1 is the gateway, .2 to .6 are to be had
    web = swarm.create(on("net", task={"RestartPolicy": {"Delay": 0}}))
    swarm.settle()
    seen = []
    for _ in range(5):
        (task,) = swarm.running(web)
        seen += addresses([task])[0]
        swarm.exit(task)
        swarm.rest()
    assert seen == [f"10.9.0.{last}/29" for last in (3, 5, 3, 5, 3)]  # its node takes 4 and 6 in between


def test_a_task_for_which_there_is_no_address_is_new_until_there_is_one() -> None:
    swarm = VirtualSwarm()
    network(swarm, "net", Subnet="10.9.0.0/29")
    web = swarm.create(on("net", replicas=6))
    swarm.settle()
    waiting = [task for task in swarm.live(web) if task.state is TaskState.NEW]
    assert [(task.slot, task.status.message) for task in waiting] == [(5, "created"), (6, "created")]
    assert waiting[0].status.err == "no free address in a network of the service"
    assert decide(swarm.tables, swarm.now, swarm.new_id).commands == ()
    swarm.update(web, on("net", replicas=4))
    swarm.settle()
    assert len(swarm.running(web)) == 4
    swarm.update(web, on("net", replicas=5))
    swarm.settle()
    other = swarm.create(on("net", name="other"))
    swarm.settle()
    assert (swarm.service(other).virtual_ips, swarm.running(other)) == ((), [])
    swarm.update(web, on("net", replicas=2))
    swarm.settle()
    assert len(swarm.running(other)) == len(swarm.service(other).virtual_ips) == 1


def test_tasks_that_have_ended_show_their_addresses_and_hold_none() -> None:
    swarm = VirtualSwarm()
    network(swarm, "net")
    web = swarm.create(on("net"))
    swarm.settle()
    (task,) = swarm.running(web)
    swarm.exit(task)
    swarm.settle()
    assert swarm.tables.tasks[task.id].attachments == (("net-id", "10.0.1.3/24"),)
    held = swarm.tables.indexes.addresses_by_network["net-id"]
    assert sorted(address & 255 for address in held) == [2, 5, 6]  # 4 was the node's, and has gone with its task


def test_a_range_its_gateway_and_what_is_set_aside_are_respected() -> None:
    swarm = VirtualSwarm()
    aside = {"router": "10.9.0.130"}
    network(swarm, "net", Subnet="10.9.0.0/24", IPRange="10.9.0.128/28", Gateway="10.9.0.129", AuxiliaryAddresses=aside)
    web = swarm.create(on("net"))
    swarm.settle()
    assert swarm.service(web).virtual_ips == (("net-id", "10.9.0.128/24"),)
    assert addresses(swarm.running(web)) == [["10.9.0.131/24"]]


def test_networks_are_cut_from_the_pools_that_the_swarm_was_given() -> None:
    swarm = VirtualSwarm(nodes=0)
    swarm.tables.cluster = None
    swarm.tables.networks.clear()
    pools = ("10.20.0.0/23", "10.30.0.0/16")
    tokens = JoinTokens("w", "m")
    swarm.do(
        InitCluster(
            at=START,
            id="c",
            spec={},
            join_tokens=tokens,
            network_ids=("in", "br", "ho"),
            default_addr_pool=pools,
            subnet_size=24,
        )
    )
    for name in ("a", "b"):
        network(swarm, name)
    subnets = [one.subnets for one in swarm.tables.networks.values() if one.subnets]
    assert subnets == [("10.20.0.0/24",), ("10.20.1.0/24",), ("10.30.0.0/24",)]


@pytest.mark.parametrize("order", ["service first", "task first"])
def test_removing_what_holds_addresses_frees_them(order: str) -> None:
    swarm = VirtualSwarm()
    network(swarm, "net")
    web = swarm.create(on("net"))
    swarm.settle()
    (task,) = swarm.running(web)
    commands = [RemoveService(at=START, id=web), RemoveTask(at=START, task_id=task.id)]
    for command in commands if order == "service first" else commands[::-1]:
        swarm.do(command)
    swarm.do(RemoveNetwork(at=START, id="net-id"))
    assert list(swarm.tables.indexes.addresses_by_network) == ["i"]
    assert swarm.tables.indexes == indexes_of(swarm.tables)


def of_nodes(swarm: VirtualSwarm, network_id: str) -> dict[str, int]:
    """Return the last byte of the address that each node has in a network."""
    return {node: address & 255 for node, address in swarm.tables.networks[network_id].node_addresses.items()}


def test_nodes_get_an_address_after_the_tasks_that_they_are_given_and_lose_it_with_the_last_one() -> None:
    """As a real engine does: virtual IP .2, two tasks .3 and .4, their node .5, the tasks that come after .6 and .7."""
    swarm = VirtualSwarm(nodes=1)
    network(swarm, "net")
    web = swarm.create(on("net", replicas=2))
    swarm.settle()
    assert of_nodes(swarm, "net-id") == {"node1": 5}
    swarm.update(web, on("net", replicas=4))
    swarm.settle()
    assert addresses(swarm.running(web)) == [[f"10.0.1.{last}/24"] for last in (3, 4, 6, 7)]
    other = swarm.create(on("net", name="other", replicas=1))
    swarm.settle()
    swarm.do(RemoveService(at=START, id=web))
    swarm.rest()
    assert of_nodes(swarm, "net-id") == {"node1": 5}
    swarm.update(other, on("net", name="other", replicas=0))
    swarm.rest()
    assert of_nodes(swarm, "net-id") == {}


def test_a_node_has_an_address_in_ingress_as_long_as_both_are_there() -> None:
    swarm = VirtualSwarm(nodes=2)
    assert of_nodes(swarm, "i") == {"node1": 2, "node2": 3}
    swarm.remove_node("node2")
    swarm.add_node("node3")
    assert of_nodes(swarm, "i") == {"node1": 2, "node3": 4}
    swarm.do(RemoveNetwork(at=START, id="i"))
    swarm.do(CreateNetwork(at=START, id="j", spec={"Name": "mine", "Driver": "overlay", "Ingress": True}))
    assert of_nodes(swarm, "j") == {"node1": 2, "node3": 3}
    assert swarm.tables.indexes == indexes_of(swarm.tables)


def test_a_node_for_which_there_is_no_address_does_without_until_its_next_task() -> None:
    swarm = VirtualSwarm(nodes=1)
    network(swarm, "net", Subnet="10.9.0.0/29")
    web = swarm.create(on("net", replicas=4))
    swarm.settle()
    assert (len(swarm.running(web)), of_nodes(swarm, "net-id")) == (4, {})
    swarm.update(web, on("net", replicas=2))
    swarm.rest()
    swarm.update(web, on("net", replicas=3))
    swarm.settle()
    assert (len(swarm.running(web)), len(of_nodes(swarm, "net-id"))) == (3, 1)


def test_many_nodes_leave_half_of_ingress_to_services() -> None:
    swarm = VirtualSwarm(nodes=300)
    assert len(of_nodes(swarm, "i")) == 127  # of 253
    web = swarm.create(service_spec(replicas=3, EndpointSpec=published()))
    swarm.settle()
    assert len(swarm.running(web)) == 3
