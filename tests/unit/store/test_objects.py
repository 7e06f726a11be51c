"""Clusters, nodes, networks, secrets and configs in the store."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from reconciler.model.commands import (
    AddNode,
    Applied,
    Command,
    CreateConfig,
    CreateNetwork,
    CreateSecret,
    RemoveNetwork,
    RemoveNode,
    RemoveSecret,
    RotateJoinToken,
    SetNodeState,
    UpdateCluster,
    UpdateNode,
    UpdateSecret,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.nodes import NodeState
from reconciler.model.objects import NodeRole
from tests.unit.store.conftest import NOW, Store

REFUSED = ErrorCode.REQUEST_REFUSED
DATA = base64.b64encode(b"hush").decode()


def network(name: str, *subnets: str, **fields: Any) -> JsonObject:
    pools = [{"Subnet": subnet} for subnet in subnets]
    return {"Name": name, "Driver": "overlay", **({"IPAM": {"Config": pools}} if pools else {}), **fields}


def subnets(store: Store) -> dict[str, tuple[str, ...]]:
    return {one.name: one.subnets for one in store.tables.networks.values() if not one.is_predefined}


def test_the_swarm_begins_with_defaults_and_an_ingress_network(store: Store) -> None:
    cluster = store.tables.cluster
    assert cluster is not None
    assert cluster.spec["Orchestration"] == {"TaskHistoryRetentionLimit": 5}
    assert cluster.spec["Dispatcher"] == {"HeartbeatPeriod": 5_000_000_000}
    assert subnets(store) == {"ingress": ("10.0.0.0/24",)}
    assert store.tables.nodes["n1"].is_leader


def test_a_swarm_update_takes_the_body_as_it_is(store: Store) -> None:
    cluster = store.tables.cluster
    assert cluster is not None
    store.do(UpdateCluster(at=NOW, version=cluster.version, spec={"Orchestration": {"TaskHistoryRetentionLimit": 2}}))
    updated = store.tables.cluster
    assert updated is not None
    assert updated.spec == {"Name": "default", "Orchestration": {"TaskHistoryRetentionLimit": 2}}
    code, _ = store.refuse(UpdateCluster(at=NOW, version=cluster.version, spec={}))
    assert code is ErrorCode.STALE_VERSION


def test_rotating_one_join_token_keeps_the_other_and_shows_neither(store: Store) -> None:
    command = RotateJoinToken(at=NOW, role=NodeRole.WORKER, token="new-token")
    store.do(command)
    cluster = store.tables.cluster
    assert cluster is not None
    assert (cluster.join_tokens.worker, cluster.join_tokens.manager) == ("new-token", "m")
    assert "new-token" not in repr(command) + repr(store.tables)


def test_networks_get_blocks_in_order_and_freed_ones_again(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.do(CreateNetwork(at=NOW, id=name, spec=network(name)))
    store.do(RemoveNetwork(at=NOW, id="b"))
    store.do(CreateNetwork(at=NOW, id="d", spec=network("d")))
    assert subnets(store) == {
        "ingress": ("10.0.0.0/24",),
        "a": ("10.0.1.0/24",),
        "c": ("10.0.3.0/24",),
        "d": ("10.0.2.0/24",),
    }


def test_a_given_subnet_gets_a_gateway_and_is_kept_clear_of(store: Store) -> None:
    store.do(CreateNetwork(at=NOW, id="a", spec=network("a", "10.0.1.0/25")))
    store.do(CreateNetwork(at=NOW, id="b", spec=network("b")))
    assert store.tables.networks["a"].spec["IPAM"]["Config"] == [{"Subnet": "10.0.1.0/25", "Gateway": "10.0.1.1"}]
    assert subnets(store)["b"] == ("10.0.2.0/24",)


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (network("a", "10.0.0.128/25"), REFUSED, "subnet 10.0.0.128/25 overlaps with subnet 10.0.0.0/24"),
        (network("a", "10.0.0.0/33"), REFUSED, "invalid subnet 10.0.0.0/33"),
        (
            network("a", IPAM={"Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.8.0.1"}]}),
            REFUSED,
            "subnet 10.9.0.0/24 does not contain gateway 10.8.0.1",
        ),
        (network("ingress"), ErrorCode.NAME_CONFLICT, "network with name ingress already exists"),
        (network("host"), ErrorCode.NAME_CONFLICT, "network with name host already exists"),
        (network("none"), REFUSED, "operation is not permitted on predefined none network"),
        (network("n" * 64), REFUSED, "name must be 63 characters or fewer"),
        (network("down", Scope="local"), REFUSED, "cannot downgrade network scope for overlay networks"),
        (network("mine", Labels={"com.docker.swarm.predefined": "x"}), REFUSED, "cannot be applied by users"),
        (network("odd", IPAM={"Driver": "odd"}), REFUSED, "error during lookup of plugin odd"),
        (network("a b"), REFUSED, "name must be valid as a DNS name component"),
        (network("a", Driver="nodrv"), REFUSED, 'plugin "nodrv" not found'),
        (network("a", Ingress=True), ErrorCode.NAME_CONFLICT, "ingress network (in) is already present"),
    ],
)
def test_an_impossible_network_is_refused(store: Store, given: JsonObject, code: ErrorCode, message: str) -> None:
    refused, text = store.refuse(CreateNetwork(at=NOW, id="x", spec=given))
    assert refused is code
    assert message in text


def test_predefined_networks_stay(store: Store) -> None:
    _, text = store.refuse(RemoveNetwork(at=NOW, id="br"))
    assert text.endswith("network br (bridge) is a swarm predefined network and cannot be removed")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Name": "", "Data": DATA}, "name must be provided"),
        ({"Name": "-a", "Data": DATA}, "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed"),
        ({"Name": "a" * 65, "Data": DATA}, "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed"),
        ({"Name": "a", "Driver": {"Name": "odd"}}, 'plugin "odd" not found'),
        ({"Name": "a"}, "secret data must be larger than 0 and less than 512000 bytes"),
        (
            {"Name": "a", "Data": base64.b64encode(b"x" * 512_000).decode()},
            "must be larger than 0 and less than 512000",
        ),
        ({"Name": "a", "Data": "%%%"}, "invalid JSON: Data is not base64"),
    ],
)
def test_an_impossible_secret_is_refused(store: Store, given: JsonObject, message: str) -> None:
    code, text = store.refuse(CreateSecret(at=NOW, id="x", spec=given))
    assert code is REFUSED
    assert message in text
    assert DATA not in text


def test_the_largest_secret_has_a_byte_less_than_is_told(store: Store) -> None:
    store.do(CreateSecret(at=NOW, id="x", spec={"Name": "a", "Data": base64.b64encode(b"x" * 511_999).decode()}))


def test_a_config_may_be_twice_as_large(store: Store) -> None:
    large = base64.b64encode(b"x" * 1_000_000).decode()
    store.do(CreateConfig(at=NOW, id="x", spec={"Name": "a", "Data": large}))


def test_only_labels_of_a_secret_change_and_its_data_stays(store: Store) -> None:
    store.do(CreateSecret(at=NOW, id="x", spec={"Name": "a", "Data": DATA}))
    version = store.tables.secrets["x"].version
    changed = UpdateSecret(at=NOW, id="x", version=version, spec={"Name": "a", "Labels": {"k": "v"}})
    store.do(changed)
    assert store.tables.secrets["x"].spec == {"Name": "a", "Data": DATA, "Labels": {"k": "v"}}
    version = store.tables.secrets["x"].version
    unread = {"Driver": {"Name": "d"}, "Templating": {"Name": "golang"}}
    store.do(UpdateSecret(at=NOW, id="x", version=version, spec={"Name": "a", "Labels": {"k": "v"}, **unread}))
    assert store.tables.secrets["x"].spec == {"Name": "a", "Data": DATA, "Labels": {"k": "v"}}
    version = store.tables.secrets["x"].version
    for spec in ({"Name": "b"}, {"Name": "a", "Data": base64.b64encode(b"other").decode()}):
        _, text = store.refuse(UpdateSecret(at=NOW, id="x", version=version, spec=spec))
        assert text.endswith("only updates to Labels are allowed")


def test_no_secret_is_in_any_repr(store: Store) -> None:
    command = CreateSecret(at=NOW, id="x", spec={"Name": "a", "Data": DATA})
    store.do(command)
    assert DATA not in repr(command) + repr(store.tables)


def test_a_worker_is_removed_when_down_or_by_force_a_manager_never(store: Store) -> None:
    spec = {"Role": "worker", "Availability": "active"}
    for node_id in ("n2", "n3"):
        store.do(AddNode(at=NOW, id=node_id, spec=spec, description={"Hostname": node_id}, address="10.0.0.2"))
    _, text = store.refuse(RemoveNode(at=NOW, id="n2", force=False))
    assert text.endswith("node n2 is not down and can't be removed")
    store.do(RemoveNode(at=NOW, id="n2", force=True))
    store.do(SetNodeState(at=NOW, id="n3", state=NodeState.DOWN, message=""))
    store.do(RemoveNode(at=NOW, id="n3", force=False))
    _, text = store.refuse(RemoveNode(at=NOW, id="n1", force=True))
    assert "It must be demoted to worker before removal" in text


def test_the_last_manager_is_not_demoted_and_the_leader_hands_over(store: Store) -> None:
    def role(node_id: str, wanted: str) -> UpdateNode:
        node = store.tables.nodes[node_id]
        return UpdateNode(at=NOW, id=node_id, version=node.version, spec={**node.spec, "Role": wanted})

    _, text = store.refuse(role("n1", "worker"))
    assert text == "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm"
    spec = {"Role": "worker", "Availability": "active"}
    store.do(AddNode(at=NOW, id="n2", spec=spec, description={"Hostname": "node2"}, address="10.0.0.2"))
    assert not store.tables.nodes["n2"].was_updated
    store.do(role("n2", "manager"))
    assert store.tables.nodes["n2"].was_updated
    store.do(role("n1", "worker"))
    assert [node.id for node in store.tables.nodes.values() if node.is_leader] == ["n2"]


@pytest.mark.parametrize("fields", [{"Role": "king"}, {"Availability": "gone"}, {"Labels": ["a"]}])
def test_an_impossible_node_spec_is_refused(store: Store, fields: JsonObject) -> None:
    node = store.tables.nodes["n1"]
    code, _ = store.refuse(UpdateNode(at=NOW, id="n1", version=node.version, spec={**node.spec, **fields}))
    assert code is REFUSED


def test_every_change_tells_its_event(store: Store) -> None:
    created = store.try_(CreateSecret(at=NOW, id="x", spec={"Name": "a", "Data": DATA}))
    removed = store.try_(RemoveSecret(at=NOW, id="x"))
    assert isinstance(created, Applied)
    assert isinstance(removed, Applied)
    told = [(str(one.kind), one.action, one.object_id, one.name) for one in created.changes + removed.changes]
    assert told == [("secret", "create", "x", "a"), ("secret", "remove", "x", "a")]


def test_an_unknown_command_is_refused_and_takes_its_index(store: Store) -> None:
    before = store.tables.index
    code, text = store.refuse(Command(at=NOW))
    assert (code, text, store.tables.index) == (ErrorCode.INTERNAL, "unknown command Command", before + 1)
