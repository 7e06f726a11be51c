"""swarm.yaml becomes settings, nodes, networks, stacks and policy."""

from __future__ import annotations

from reconciler.model.desired import DriftMode, Policy, TokenPolicy
from reconciler.model.objects import Kind, NodeRole
from tests.unit.manifests.builders import CLUSTER, loaded, stack

WHOLE = (
    CLUSTER
    + """
spec:
  settings:
    taskHistoryLimit: 5
    heartbeatPeriod: 5s
    certExpiry: 90d
    snapshotInterval: 10000
    keepOldSnapshots: 1
    logEntriesForSlowFollowers: 500
    autolock: false
  joinTokens:
    worker: {rotateEvery: 30d}
    manager: {rotateEvery: 1h30m}
  nodes:
    - {hostname: one, role: manager, availability: drain, labels: {zone: a, rack: 4}}
    - {id: abc}
  networks:
    public: {attachable: true, subnet: 10.0.9.0/24, gateway: 10.0.9.1, driverOpts: {encrypted: ""}, labels: {a: b}}
    plain:
  stacks:
    - {path: db.yaml}
    - {path: deep/web.yaml, name: front, dependsOn: [db]}
  policy: {drift: report, prune: true, maxDeletePercent: 20}
"""
)
FILES = {"swarm.yaml": WHOLE, "db.yaml": "services: {}", "deep/web.yaml": "services: {}"}


def test_settings_become_a_partial_cluster_spec_with_places() -> None:
    state = loaded(FILES)
    assert state.settings == {
        "Orchestration": {"TaskHistoryRetentionLimit": 5},
        "Dispatcher": {"HeartbeatPeriod": 5_000_000_000},
        "CAConfig": {"NodeCertExpiry": 90 * 24 * 3600 * 10**9},
        "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 1, "LogEntriesForSlowFollowers": 500},
        "EncryptionConfig": {"AutoLockManagers": False},
    }
    assert state.settings_places["Dispatcher.HeartbeatPeriod"].key_path == "spec.settings.heartbeatPeriod"
    assert state.settings_places["Dispatcher.HeartbeatPeriod"].line == 8


def test_tokens_policy_and_name_are_read() -> None:
    state = loaded(FILES)
    assert state.cluster == "test"
    assert state.join_tokens == TokenPolicy(30 * 86400.0, 5400.0)
    assert state.policy == Policy(DriftMode.REPORT, True, 20)


def test_nodes_say_only_what_is_given() -> None:
    first, second = loaded(FILES).nodes
    assert (first.selector, first.by_id, first.role, first.availability) == ("one", False, NodeRole.MANAGER, "drain")
    assert first.labels == {"zone": "a", "rack": "4"}
    assert (second.selector, second.by_id, second.role, second.availability, second.labels) == (
        "abc",
        True,
        None,
        None,
        None,
    )


def test_networks_become_create_requests_of_no_stack() -> None:
    public, plain = loaded(FILES).of_kind(Kind.NETWORK)
    assert (public.name, public.stack) == ("public", None)
    assert public.spec == {
        "Name": "public",
        "Driver": "overlay",
        "Attachable": True,
        "Internal": False,
        "Labels": {"a": "b"},
        "Options": {"encrypted": ""},
        "IPAM": {"Driver": "", "Options": None, "Config": [{"Subnet": "10.0.9.0/24", "Gateway": "10.0.9.1"}]},
        "Ingress": False,
        "ConfigOnly": False,
        "ConfigFrom": None,
        "Scope": "",
    }
    assert plain.spec["IPAM"] is None


def test_stacks_keep_the_order_of_the_file() -> None:
    state = loaded(FILES)
    assert [(each.name, each.path, each.depends_on) for each in state.stacks] == [
        ("db", "db.yaml", ()),
        ("front", "deep/web.yaml", ("db",)),
    ]


def test_without_stacks_every_file_under_stacks_is_one() -> None:
    files = {
        "stacks/b.yml": "services: {}",
        "stacks/a.yaml": "services: {}",
        "stacks/n.txt": "",
        "stacks/x/c.yaml": "]",
    }
    assert [each.name for each in loaded(files).stacks] == ["a", "b"]


def test_an_empty_list_of_stacks_is_none() -> None:
    files = {"swarm.yaml": CLUSTER + "spec: {stacks: []}", "stacks/a.yaml": "services: {}"}
    assert loaded(files).stacks == ()


def test_a_lone_stack_file_has_no_cluster() -> None:
    state = stack("services: {}")
    assert (state.cluster, state.nodes, state.settings) == ("", (), {})
    assert [each.name for each in state.stacks] == ["s"]


def test_a_cluster_with_nothing_but_a_name_is_fine() -> None:
    assert loaded({}).objects == ()
