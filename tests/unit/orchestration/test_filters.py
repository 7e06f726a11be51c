"""Each filter of the scheduler, in Swarm's words; generic resources; spread over several levels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from reconciler.model.commands import AddNode, CreateNetwork
from reconciler.model.json import JsonObject
from reconciler.model.tasks import TaskState
from reconciler.store.codec import COMMANDS_MAX
from tests.fakes.virtual_swarm import GIB, SECOND, START, VirtualSwarm, service_spec

LINUX = {"Architecture": "x86_64", "OS": "linux"}


def swarm_of(*nodes: JsonObject) -> VirtualSwarm:
    """Return a swarm of nodes n1, n2 … with these descriptions; `Labels` goes into the spec."""
    swarm = VirtualSwarm(nodes=0)
    for number, node in enumerate(nodes, 1):
        spec = {"Role": "worker", "Availability": "active", "Labels": node.get("Labels", {})}
        description = {"Hostname": f"n{number}", "Platform": LINUX, **node}
        swarm.do(AddNode(at=START, id=f"n{number}", spec=spec, description=description, address="10.1.1.1"))
    return swarm


def place(swarm: VirtualSwarm, replicas: int = 1, **task: Any) -> tuple[list[str], str]:
    """Return the nodes of a new service's tasks, and why one has none."""
    service_id = swarm.create(service_spec(f"s{swarm.tables.index}", replicas=replicas, task=task))
    swarm.settle()
    tasks = swarm.live(service_id)
    errs = [task.status.err for task in tasks if task.status.err]
    return [task.node_id for task in tasks if task.node_id], errs[0] if errs else ""


def plugins(*pairs: tuple[str, str]) -> JsonObject:
    listed = [{"Type": kind, "Name": name} for kind, name in pairs]
    return {"Engine": {"EngineVersion": "27.0.0", "Plugins": listed}}


def gpus(*values: str | int) -> JsonObject:
    resources = [
        {"NamedResourceSpec": {"Kind": "gpu", "Value": value}}
        if isinstance(value, str)
        else {"DiscreteResourceSpec": {"Kind": "gpu", "Value": value}}
        for value in values
    ]
    return {"Resources": {"NanoCPUs": SECOND, "MemoryBytes": GIB, "GenericResources": resources}}


def asks_gpus(count: int) -> JsonObject:
    return {"Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": count}}]}}


def volume(driver: str) -> JsonObject:
    mount = {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"DriverConfig": {"Name": driver}}}
    return {"ContainerSpec": {"Image": "app:1", "Mounts": [mount]}}


@pytest.mark.parametrize(
    ("platform", "fits"),
    [
        ({"Architecture": "amd64", "OS": "linux"}, True),
        ({"Architecture": "x86_64", "OS": "linux"}, True),
        ({"OS": "linux"}, True),
        ({"Architecture": "amd64"}, True),
        ({"Architecture": "arm64", "OS": "linux"}, False),
        ({"Architecture": "aarch64"}, False),
        ({"OS": "windows"}, False),
    ],
)
def test_a_platform_is_compared_by_the_names_that_go_has(platform: JsonObject, fits: bool) -> None:
    nodes, err = place(swarm_of({}), Placement={"Platforms": [platform]})
    assert nodes == (["n1"] if fits else [])
    assert err == ("" if fits else "no suitable node (unsupported platform on 1 node)")


def test_one_of_several_platforms_is_enough() -> None:
    nodes, _ = place(swarm_of({}), Placement={"Platforms": [{"OS": "windows"}, {"OS": "linux"}]})
    assert nodes == ["n1"]


def test_a_volume_driver_must_be_on_the_node() -> None:
    swarm = swarm_of(plugins(("Volume", "local")), plugins(("Volume", "nfs:latest")), plugins())
    assert place(swarm, **volume("nfs")) == (["n2"], "")
    assert place(swarm, **volume("local"))[0] == ["n1"]
    assert place(swarm, **volume("ceph")) == ([], "no suitable node (missing plugin on 3 nodes)")


def test_a_node_that_has_not_told_its_plugins_is_taken_at_its_word() -> None:
    assert place(swarm_of({}), **volume("nfs")) == (["n1"], "")


def test_a_log_driver_is_looked_for_only_where_nodes_tell_theirs() -> None:
    silent, telling = plugins(("Network", "overlay")), plugins(("Log", "json-file"))
    log: JsonObject = {"LogDriver": {"Name": "gelf"}}
    assert place(swarm_of(telling, silent), **log) == (["n2"], "")
    assert place(swarm_of(telling), **log) == ([], "no suitable node (missing plugin on 1 node)")
    assert place(swarm_of(telling), LogDriver={"Name": "none"})[0] == ["n1"]


def test_an_overlay_network_asks_for_no_plugin() -> None:
    swarm = swarm_of(plugins())
    swarm.do(CreateNetwork(at=START, id="net", spec={"Name": "net"}))
    assert place(swarm, Networks=[{"Target": "net"}]) == (["n1"], "")


def test_a_cluster_volume_is_nowhere_and_that_is_said() -> None:
    mount = {"Type": "cluster", "Source": "v", "Target": "/v"}
    _, err = place(swarm_of({}, {}), ContainerSpec={"Image": "app:1", "Mounts": [mount]})
    assert err == "no suitable node (cannot fulfill requested CSI volume mounts on 2 nodes)"


def test_generic_resources_are_given_out_by_name_or_by_number_and_come_back() -> None:
    swarm = swarm_of(gpus("uuid-b", "uuid-a"), gpus(3))
    web = swarm.create(service_spec(replicas=3, task={"Resources": asks_gpus(2)}))
    swarm.settle()
    placed = {task.node_id: task.generic_resources for task in swarm.running(web)}
    assert placed == {"n1": (("gpu", "uuid-b"), ("gpu", "uuid-a")), "n2": (("gpu", 2),)}
    (waiting,) = [task for task in swarm.live(web) if task.state is TaskState.PENDING]
    assert waiting.status.err == "no suitable node (insufficient resources on 2 nodes)"
    swarm.exit(next(task for task in swarm.running(web) if task.node_id == "n1"))
    swarm.settle()
    assert {task.node_id for task in swarm.live(web) if task.node_id and not task.has_ended} == {"n1", "n2"}


@pytest.mark.parametrize("asked", [{"Kind": "gpu", "Value": 0}, {"Kind": "gpu"}], ids=["0", "left out, as Go does"])
def test_who_asks_for_none_of_a_generic_resource_asks_for_its_kind(asked: JsonObject) -> None:
    asks = {"Reservations": {"GenericResources": [{"DiscreteResourceSpec": asked}]}}
    swarm = swarm_of({"Resources": {"NanoCPUs": SECOND, "MemoryBytes": GIB}}, gpus(1))
    web = swarm.create(service_spec(replicas=2, task={"Resources": asks}))
    swarm.settle()
    assert [task.node_id for task in swarm.running(web)] == ["n2", "n2"]
    swarm.describe("n2", **gpus())
    swarm.settle()
    other = swarm.create(service_spec("other", task={"Resources": asks}))
    swarm.settle()
    (waiting,) = swarm.live(other)
    assert waiting.status.err == "no suitable node (insufficient resources on 2 nodes)"


def test_a_generic_resource_that_vanishes_takes_its_task_along() -> None:
    swarm = swarm_of(gpus("uuid-a"), gpus("uuid-b"))
    web = swarm.create(service_spec(task={"Resources": asks_gpus(1), "RestartPolicy": {"Delay": 0}}))
    swarm.settle()
    (task,) = swarm.running(web)
    assert task.node_id == "n1"
    swarm.describe("n1", **gpus())
    swarm.rest()
    assert swarm.tables.tasks[task.id].state is TaskState.REJECTED
    assert [one.node_id for one in swarm.running(web)] == ["n2"]


def test_a_node_that_shrinks_keeps_what_still_fits_the_oldest_first() -> None:
    swarm = swarm_of({"Resources": {"NanoCPUs": 4 * SECOND, "MemoryBytes": GIB}}, {"Resources": {"NanoCPUs": 0}})
    asks = {"Resources": {"Reservations": {"NanoCPUs": SECOND}}, "RestartPolicy": {"Delay": 0}}
    web = swarm.create(service_spec(replicas=4, task=asks))
    swarm.settle()
    swarm.describe("n1", Resources={"NanoCPUs": 3 * SECOND, "MemoryBytes": GIB})
    swarm.rest()
    assert [task.slot for task in swarm.running(web)] == [1, 2, 3]
    (ended,) = [task for task in swarm.tasks(web) if task.state is TaskState.REJECTED]
    assert (ended.slot, ended.status.message) == (4, "task rejected by constraint enforcer")
    assert ended.status.err == "assigned node no longer meets constraints"


def test_spread_goes_over_every_level_and_then_over_nodes() -> None:
    places = [("eu", "a"), ("eu", "a"), ("eu", "b"), ("us", "c")]
    swarm = swarm_of(*({"Labels": {"region": region, "zone": zone}} for region, zone in places))
    levels = [{"Spread": {"SpreadDescriptor": f"node.labels.{name}"}} for name in ("region", "zone")]
    nodes, _ = place(swarm, replicas=8, Placement={"Preferences": levels})
    assert Counter(nodes) == {"n1": 1, "n2": 1, "n3": 2, "n4": 4}


def test_spread_counts_what_runs_already_and_passes_over_full_branches() -> None:
    swarm = swarm_of(*({"Labels": {"zone": zone}} for zone in "aab"))
    placement = {"Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}], "MaxReplicas": 3}
    web = swarm.create(service_spec(replicas=2, task={"Placement": placement}))
    swarm.settle()
    for replicas, expected in ((4, {"a": 2, "b": 2}), (8, {"a": 5, "b": 3})):
        swarm.update(web, service_spec(replicas=replicas, task={"Placement": placement}))
        swarm.settle()
        assert Counter(swarm.node(task.node_id).labels["zone"] for task in swarm.running(web)) == expected


def test_spread_over_labels_of_the_engine_and_over_what_swarm_ignores() -> None:
    engines = ({"Engine": {"Labels": {"disk": disk}}} for disk in ("ssd", "ssd", "hdd"))
    swarm = swarm_of(*engines)
    by_disk = [{"Spread": {"SpreadDescriptor": "engine.labels.disk"}}, {"Spread": {"SpreadDescriptor": "node.id"}}]
    nodes, _ = place(swarm, replicas=4, Placement={"Preferences": by_disk})
    assert Counter(nodes) == {"n1": 1, "n2": 1, "n3": 2}


def test_a_group_fills_the_emptier_nodes_first() -> None:
    swarm = swarm_of({}, {}, {})
    place(swarm, replicas=5, Placement={"Constraints": ["node.hostname == n1"]})
    nodes, _ = place(swarm, replicas=4)
    assert Counter(nodes) == {"n2": 2, "n3": 1, "n1": 1}


def test_many_tasks_become_few_commands_and_each_fits_into_a_transaction() -> None:
    swarm = swarm_of({}, {})
    swarm.create(service_spec(replicas=2500))
    created = swarm.brain.decide(swarm.now, swarm.new_id).commands
    assert [len(command.tasks) for command in created] == [2500]  # type: ignore[attr-defined]
    for command in created:
        swarm.do(command)
    placed = swarm.brain.decide(swarm.now, swarm.new_id).commands
    assert [len(command.places) for command in placed] == [1000, 1000, 500]  # type: ignore[attr-defined]
    assert len(placed) < COMMANDS_MAX


def test_what_was_assumed_of_a_decision_that_nobody_carried_out_is_forgotten() -> None:
    swarm = swarm_of({"Resources": {"NanoCPUs": SECOND}})
    swarm.create(service_spec(task={"Resources": {"Reservations": {"NanoCPUs": SECOND}}}))
    for command in swarm.brain.decide(swarm.now, swarm.new_id).commands:
        swarm.do(command)
    first = swarm.brain.decide(swarm.now, swarm.new_id).commands
    assert len(first) == 1
    assert swarm.brain.decide(swarm.now, swarm.new_id).commands == first
