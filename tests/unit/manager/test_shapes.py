"""What the Engine API shows of addresses and generic resources."""

from __future__ import annotations

from reconciler.manager.shapes import service_object, swarm_object, task_json
from reconciler.model.commands import CreateNetwork
from tests.fakes.virtual_swarm import VirtualSwarm, service_spec


def test_a_service_and_its_task_show_their_addresses() -> None:
    swarm = VirtualSwarm(nodes=1)
    swarm.do(CreateNetwork(at=swarm.now, id="net", spec={"Name": "mine", "Attachable": True}))
    gpu = {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]}
    template = {"Networks": [{"Target": "mine"}, {"Target": "host"}], "Resources": {"Reservations": gpu}}
    web = swarm.create(service_spec(task=template))
    swarm.settle()
    shown = service_object(swarm.service(web)).raw
    # An engine lists networks of the node, too, which give no address. (tests/transcript/scenarios/networks.txt)
    assert shown["Endpoint"]["VirtualIPs"] == [{"NetworkID": "net", "Addr": "10.0.1.2/24"}, {"NetworkID": "h"}]
    (record,) = swarm.running(web)
    task = task_json(swarm.tables, record)
    assert task["GenericResources"] == [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]
    mine, host = task["NetworksAttachments"]
    assert (mine["Addresses"], host["Addresses"]) == (["10.0.1.3/24"], [])
    assert mine["Network"]["Spec"]["Name"] == "mine"
    assert mine["Network"]["Spec"]["Attachable"] is True
    assert mine["Network"]["DriverState"]["Options"]["com.docker.network.driver.overlay.vxlanid_list"] == "4097"
    assert mine["Network"]["IPAMOptions"]["Configs"] == [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}]
    assert host["Network"]["DriverState"]["Name"] == "host"


def test_a_service_without_addresses_shows_none() -> None:
    swarm = VirtualSwarm(nodes=1)
    web = swarm.create(service_spec())
    swarm.settle()
    assert "VirtualIPs" not in service_object(swarm.service(web)).raw["Endpoint"]
    (record,) = swarm.running(web)
    assert {"NetworksAttachments", "GenericResources"} & task_json(swarm.tables, record).keys() == set()


def test_the_swarm_shows_the_pools_that_it_was_given() -> None:
    cluster = VirtualSwarm(nodes=0).tables.cluster
    assert cluster is not None
    raw = swarm_object(cluster).raw
    assert (raw["DefaultAddrPool"], raw["SubnetSize"], raw["DataPathPort"]) == (["10.0.0.0/8"], 24, 4789)
