"""How a live swarm is written down: as a person would, with nothing left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests.document import read_document
from reconciler.manifests.export.files import WrittenFiles
from reconciler.manifests.export.quantities import cpus_text, duration_text, size_text
from reconciler.manifests.export.repository import exported
from reconciler.manifests.export.yaml_text import escaped, yaml_text
from reconciler.manifests.load import LoadInputs, load
from reconciler.manifests.problems import ProblemList
from reconciler.manifests.quantities import duration_ns, nano_cpus, size_bytes
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind, ObservedObject
from reconciler.planning.plan import plan
from reconciler.planning.residual import residuals
from tests.unit.manifests.builders import SCHEMAS
from tests.unit.manifests.live import STACK, config, network, observed, service, swarm


def written(actual: ActualState) -> dict[str, Any]:
    """Return {path: document or bytes} of an import, after checking that a plan for it is empty."""
    before = copy.deepcopy(actual)
    files, desired = exported(actual, "test", SCHEMAS, residuals)
    assert actual == before
    made = plan(desired, actual)
    assert made.is_empty, [(action.id, action.changes) for action in made.actions] + list(made.blocked)
    again = load(WrittenFiles(files), LoadInputs(SCHEMAS, {"HOME": "/elsewhere"}, "/root", "/elsewhere"))
    assert [one.spec for one in again.objects] == [one.spec for one in desired.objects]
    return {path: document(text) if path.endswith(".yaml") else text for path, text in files.items()}


def document(text: bytes) -> JsonValue:
    found = read_document(text, "x.yaml", ProblemList())
    assert found is not None
    return found.value


def keys(found: ObservedObject, *others: ObservedObject) -> JsonObject:
    """Return how one service of no stack is written."""
    [text] = written(swarm(found, *others))["services.yaml"]["services"].values()
    return text


def test_a_plain_service_has_no_more_keys_than_a_person_would_write() -> None:
    spec = {
        "UpdateConfig": {"Parallelism": 2, "FailureAction": "pause", "MaxFailureRatio": 0, "Order": "stop-first"},
        "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080}]},
    }
    assert keys(service("web", {"Args": ["sleep", "1"], "StopGracePeriod": 90_000_000_000}, **spec)) == {
        "image": "nginx:1",
        "command": ["sleep", "1"],
        "stop_grace_period": "1m30s",
        "ports": ["8080:80"],
        "deploy": {"update_config": {"parallelism": 2}},
    }


def test_variables_stand_once_either_in_compose_or_in_the_extension() -> None:
    labels = {STACK: "web", "com.docker.stack.image": "nginx:1"}
    container = {"Env": ["B=$1", "A=2"], "Labels": {STACK: "web"}}
    found = written(swarm(service("web_a", container, Labels=labels)))["stacks/web.yaml"]["services"]["a"]
    assert "environment" not in found
    assert found["x-swarmctl"]["spec"]["TaskTemplate"]["ContainerSpec"] == {"Env": ["B=$$1", "A=2"]}


@pytest.mark.parametrize(
    ("live", "label", "text"),
    [
        ("nginx:1", None, "nginx:1"),
        ("nginx:1@sha256:" + "a" * 64, None, "nginx:1"),
        ("nginx@sha256:" + "a" * 64, None, "nginx@sha256:" + "a" * 64),
        ("nginx:latest@sha256:" + "a" * 64, "nginx", "nginx"),
        ("nginx:2", "nginx:1", "nginx:2"),
        ("Not An Image", None, "see-x-swarmctl"),
    ],
)
def test_an_image_is_written_as_somebody_would(live: str, label: str | None, text: str) -> None:
    labels = {STACK: "web"} | ({"com.docker.stack.image": label} if label else {})
    files = written(swarm(service("web_a", {"Image": live, "Labels": {STACK: "web"}}, Labels=labels)))
    assert files["stacks/web.yaml"]["services"]["a"]["image"] == text


def test_a_service_without_a_container_is_kept() -> None:
    spec = {"TaskTemplate": {"Runtime": "plugin", "PluginSpec": {"Name": "p"}}, "Mode": {"Global": {}}}
    found = keys(observed(Kind.SERVICE, "plugin", spec))
    assert found["x-swarmctl"]["spec"]["TaskTemplate"]["PluginSpec"] == {"Name": "p"}


def test_a_service_named_otherwise_than_its_stack_keeps_its_name() -> None:
    files = written(swarm(service("other", Labels={STACK: "web"}), service("web_other", Labels={STACK: "web"})))
    services = files["stacks/web.yaml"]["services"]
    assert [services[key].get("x-swarmctl", {}).get("spec", {}).get("Name") for key in services] == [
        "other",
        "web_other",
    ]


def test_a_service_of_a_stack_without_networks_makes_no_default_network() -> None:
    _, desired = exported(swarm(service("web_a", Labels={STACK: "web"})), "test", SCHEMAS, residuals)
    assert desired.of_kind(Kind.NETWORK) == ()


def test_a_label_that_names_no_stack_is_a_mere_label() -> None:
    files = written(swarm(service("a", Labels={STACK: "no stack!"}), config("c", b"x", **{STACK: "no stack!"})))
    assert files["services.yaml"]["services"]["a"]["deploy"]["labels"] == {STACK: "no stack!"}
    assert files["configs/c"] == b"x"


def test_the_file_of_no_stack_takes_no_stacks_name() -> None:
    files = written(swarm(service("a"), service("services_a", Labels={STACK: "services"})))
    assert {"path": "services.yaml", "name": "services-2"} in files["swarm.yaml"]["spec"]["stacks"]


def test_of_a_rotated_config_the_version_in_use_is_declared_under_its_plain_name() -> None:
    old = config("web_app", b"old", **{STACK: "web"})
    new = config("web_app-1f2e3d4c", b"new", **{STACK: "web", "io.swarmctl.name": "web_app"})
    file = {"Name": "/app", "UID": "0", "GID": "0", "Mode": 0o440}
    use = {"Configs": [{"File": file, "ConfigID": new.id, "ConfigName": new.name}]}
    files = written(swarm(old, new, service("web_a", use, Labels={STACK: "web"})))
    assert files["stacks/web/app"] == b"new"
    assert files["stacks/web.yaml"]["configs"]["app"] == {"file": "./web/app"}
    assert files["stacks/web.yaml"]["services"]["a"]["configs"] == [{"source": "app", "target": "/app", "mode": 0o440}]


def test_two_versions_in_use_are_both_referred_to() -> None:
    old = config("web_app", b"old", **{STACK: "web"})
    new = config("web_app-1f2e3d4c", b"new", **{STACK: "web", "io.swarmctl.name": "web_app"})
    file = {"Name": "/app", "UID": "0", "GID": "0", "Mode": 0o444}
    users = [
        service(name, {"Configs": [{"File": file, "ConfigID": it.id, "ConfigName": it.name}]}, Labels={STACK: "web"})
        for name, it in (("web_a", old), ("web_b", new))
    ]
    files = written(swarm(old, new, *users))
    assert {"external": True, "name": "web_app-1f2e3d4c"} in files["stacks/web.yaml"]["configs"].values()


def test_secrets_are_external_but_for_those_of_a_driver() -> None:
    mine = observed(Kind.SECRET, "web_key", {"Labels": {STACK: "web"}})
    vault = observed(Kind.SECRET, "web_v", {"Labels": {STACK: "web"}, "Driver": {"Name": "vault"}})
    files = written(swarm(mine, vault))
    assert files["stacks/web.yaml"]["secrets"] == {
        "key": {"external": True, "name": "web_key"},
        "v": {"driver": "vault"},
    }


def test_one_volume_with_two_definitions_gets_two_keys() -> None:
    def mount(**driver: str) -> JsonObject:
        options = {"Labels": {STACK: "web"}, **({"DriverConfig": driver} if driver else {})}
        return {"Type": "volume", "Source": "web_data", "Target": "/d", "VolumeOptions": options}

    services = [
        service("web_a", {"Mounts": [mount()]}, Labels={STACK: "web"}),
        service("web_b", {"Mounts": [mount(Name="nfs")]}, Labels={STACK: "web"}),
    ]
    volumes = written(swarm(*services))["stacks/web.yaml"]["volumes"]
    assert volumes == {"data": {}, "data-2": {"name": "web_data", "driver": "nfs"}}


def test_networks_of_no_stack_go_into_the_cluster_file() -> None:
    pool = {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.9"}
    options = {"com.docker.network.driver.overlay.vxlanid_list": "4097", "encrypted": ""}
    shared = network("shared", Attachable=True, IPAM={"Driver": "default", "Config": [pool]}, Options=options)
    ingress = network("ingress", Ingress=True)
    ingress.raw["Ingress"] = True
    attached = service("a", task={"Networks": [{"Target": shared.id}]})
    files = written(swarm(shared, ingress, attached))
    assert files["swarm.yaml"]["spec"]["networks"] == {
        "shared": {
            "attachable": True,
            "driverOpts": {"encrypted": ""},
            "subnet": "10.1.0.0/24",
            "gateway": "10.1.0.9",
        }
    }
    assert files["services.yaml"]["networks"] == {"shared": {"external": True}}
    assert files["services.yaml"]["services"]["a"]["networks"] == ["shared"]


def test_a_subnet_with_bits_of_an_address_is_written_as_the_loader_takes_it() -> None:
    """Engines of 20.10 answer with what `docker network create --subnet 10.1.0.5/24` gave them."""
    pools = [{"Subnet": "10.1.0.5/24", "Gateway": "10.1.0.1"}, {"Subnet": "fd00::7/64", "IPRange": "fd00::9/80"}]
    found = written(swarm(network("odd", IPAM={"Driver": "default", "Config": pools})))
    assert found["swarm.yaml"]["spec"]["networks"]["odd"]["ipam"]["config"] == [
        {"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"},
        {"subnet": "fd00::/64", "ipRange": "fd00::9/80"},
    ]


def test_what_stays_when_nothing_declares_it_is_written_as_such() -> None:
    stays = {"io.swarmctl.prune": "false"}
    shared = network("shared", Labels=stays)
    back = network("web_back", Labels={STACK: "web"} | stays, EnableIPv6=True)
    conf = config("web_conf", b"x", **{STACK: "web"} | stays)
    web = service("web_a", Labels={STACK: "web"} | stays)
    files = written(swarm(shared, back, conf, web))
    assert files["swarm.yaml"]["spec"]["networks"]["shared"]["prune"] is False
    stack = files["stacks/web.yaml"]
    assert stack["services"]["a"]["x-swarmctl"]["prune"] is False
    assert stack["configs"]["conf"]["x-swarmctl"] == {"prune": False}
    assert stack["networks"]["back"]["x-swarmctl"] == {"prune": False, "spec": {"EnableIPv6": True}}


def test_settings_and_nodes_are_written_where_they_are_not_the_default() -> None:
    nodes = [
        observed(Kind.NODE, name, {"Role": "worker", "Availability": "active", "Labels": labels}, object_id)
        for name, labels, object_id in (("n1", {"a.b": "1"}, "i1"), ("twin", {}, "i2"), ("twin", {}, "i3"))
    ]
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 5}, "Dispatcher": {"HeartbeatPeriod": 7_000_000_000}}
    spec = written(swarm(*nodes, settings=settings))["swarm.yaml"]["spec"]
    assert spec["settings"] == {"heartbeatPeriod": "7s"}
    assert [node.get("hostname") or node["id"] for node in spec["nodes"]] == ["n1", "i2", "i3"]
    assert spec["nodes"][0]["labels"] == {"a.b": "1"}


@given(st.integers(-(2**62), 2**62))
def test_durations_read_back(nanoseconds: int) -> None:
    assert duration_ns(duration_text(nanoseconds)) == nanoseconds


@given(st.integers(0, 2**53))
def test_sizes_read_back(size: int) -> None:
    assert size_bytes(size_text(size)) == size


@given(st.integers(0, 10**15))
def test_processors_read_back(nano: int) -> None:
    assert nano_cpus(cpus_text(nano)) == nano


words = st.sampled_from(
    ["1e3", "0o17", "0b1", "1_0", "+5", ".5", "2001-01-01", "~", "no", "<<", "=", "0x1F", "08", "-"]
)
scalars = st.one_of(words, st.text(st.characters(exclude_categories=["Cs"])), st.integers(-9, 9), st.booleans())
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words | st.text("a$.'\n"), inner))
)


@given(st.dictionaries(st.text("ab"), values, min_size=1))
def test_every_value_reads_back_as_itself(value: JsonValue) -> None:
    assert document(yaml_text(value).encode()) == value


def test_dollars_are_doubled_in_values_and_left_alone_in_keys() -> None:
    assert escaped({"$a": ["$b", 1, {"c": "$$"}]}) == {"$a": ["$$b", 1, {"c": "$$$$"}]}
