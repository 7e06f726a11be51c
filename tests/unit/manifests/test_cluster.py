"""swarm.yaml becomes settings, nodes, networks, stacks and policy."""

from __future__ import annotations

import pytest

from reconciler.model.desired import Policy, TokenPolicy
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.policies import DriftMode
from tests.unit.manifests.builders import CLUSTER, loaded, problems, stack

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
    tokens = state.join_tokens
    assert tokens == TokenPolicy(30 * 86400.0, 5400.0, tokens.worker_place, tokens.manager_place)
    assert [place and place.line for place in (tokens.worker_place, tokens.manager_place)] == [15, 16]
    assert state.policy == Policy(DriftMode.REPORT, True, 20)
    assert {key: place.line for key, place in state.policy_places.items()} == dict.fromkeys(
        ("drift", "prune", "maxDeletePercent"), 26
    )


def test_policy_keeps_as_many_versions_as_it_says_and_two_otherwise() -> None:
    assert loaded(FILES).policy.keep_versions == 2
    assert loaded({"swarm.yaml": CLUSTER + "spec: {policy: {keepVersions: 0}}\n"}).policy.keep_versions == 0


def test_a_node_is_removed_only_when_it_is_said_to_be_absent() -> None:
    nodes = "[{hostname: a, state: absent}, {id: b, state: present, role: worker}, {hostname: c}]"
    found = loaded({"swarm.yaml": CLUSTER + f"spec: {{nodes: {nodes}}}\n"}).nodes
    assert [(node.selector, node.by_id, node.absent) for node in found] == [
        ("a", False, True),
        ("b", True, False),
        ("c", False, False),
    ]
    assert (found[0].role, found[0].availability, found[0].labels) == (None, None, None)


def test_what_is_asked_of_an_absent_node_is_told_key_by_key() -> None:
    nodes = "spec:\n  nodes:\n    - {hostname: a, state: absent, role: worker, labels: {x: y}}\n"
    found = problems({"swarm.yaml": CLUSTER + nodes})
    assert [problem.place.key_path for problem in found if problem.place] == [
        "spec.nodes[0].role",
        "spec.nodes[0].labels",
    ]
    assert "`state: absent`" in found[0].what


def test_a_network_may_stay_when_nothing_declares_it() -> None:
    networks = "spec: {networks: {a: {prune: false}, b: {prune: true}, c: }}\n"
    found = loaded({"swarm.yaml": CLUSTER + networks}).objects
    assert [(network.name, network.prune) for network in found] == [("a", False), ("b", True), ("c", True)]
    assert "prune" not in str(found[0].spec)


def test_swarm_yaml_s_rollback_wins_over_the_file_s() -> None:
    asks, silent = "x-swarmctl: {rollback: stack}", "services: {}"
    stacks = "[{path: a.yaml}, {path: b.yaml}, {path: c.yaml, rollback: none}, {path: d.yaml, rollback: stack}]"
    files = {"a.yaml": asks, "b.yaml": silent, "c.yaml": asks, "d.yaml": silent}
    state = loaded({"swarm.yaml": CLUSTER + f"spec: {{stacks: {stacks}}}\n"} | files)
    assert {each.name: each.atomic for each in state.stacks} == {"a": True, "b": False, "c": False, "d": True}


@pytest.mark.parametrize(
    ("every", "hint"),
    [
        ("30", "Write it with a unit: 30d for days, 30h for hours."),
        ("1mo", "Write numbers with units, such as 30d or 1h30m."),
    ],
)
def test_a_duration_that_may_be_days_long_is_not_taken_for_seconds(every: str, hint: str) -> None:
    [problem] = problems({"swarm.yaml": CLUSTER + f"spec: {{joinTokens: {{worker: {{rotateEvery: {every}}}}}}}\n"})
    assert problem.hint == hint


@pytest.mark.parametrize("value", ["true", "1", "[stack]", "{a: b}"])
def test_a_value_of_another_type_than_the_known_ones_hears_which_these_are(value: str) -> None:
    spec = f"spec: {{stacks: [{{path: a.yaml, rollback: {value}}}]}}\n"
    [problem] = problems({"swarm.yaml": CLUSTER + spec, "a.yaml": "services: {}"})
    assert problem.what == "`spec.stacks[0].rollback` must be `stack` or `none`."
    assert "Known values: `none`, `stack`." in problem.hint


@pytest.mark.parametrize("rollback", ["all", "true", "[stack]"])
def test_a_stack_s_rollback_is_stack_or_none(rollback: str) -> None:
    spec = f"spec: {{stacks: [{{path: a.yaml, rollback: {rollback}}}]}}\n"
    [problem] = problems({"swarm.yaml": CLUSTER + spec, "a.yaml": "services: {}"})
    assert problem.place is not None
    assert problem.place.key_path == "spec.stacks[0].rollback"
    assert problem.hint


def test_what_is_no_stack_cannot_go_back_as_one() -> None:
    files = {"swarm.yaml": CLUSTER + "spec: {stacks: [{path: a.yaml, rollback: stack}]}\n"}
    [problem] = problems(files | {"a.yaml": "x-swarmctl: {stack: false}"})
    assert (problem.code, str(problem.place)) == (ErrorCode.INVALID_VALUE, "swarm.yaml:4:24")


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
        "stacks/.#a.yaml": "]",
        "stacks/x/c.yaml": "]",
    }
    assert [each.name for each in loaded(files).stacks] == ["a", "b"]


@pytest.mark.parametrize("name", ["host", "bridge", "none", "ingress", "docker_gwbridge"])
def test_a_network_that_engines_have_by_themselves_is_not_declared(name: str) -> None:
    [problem] = problems({"swarm.yaml": CLUSTER + f"spec: {{networks: {{{name}: {{driver: overlay}}}}}}\n"})
    assert problem.code is ErrorCode.INVALID_VALUE
    assert "no network to declare" in problem.what
    assert problem.place is not None
    assert problem.place.line == 4


def test_an_empty_list_of_stacks_is_none() -> None:
    files = {"swarm.yaml": CLUSTER + "spec: {stacks: []}", "stacks/a.yaml": "services: {}"}
    assert loaded(files).stacks == ()


def test_a_lone_stack_file_has_no_cluster() -> None:
    state = stack("services: {}")
    assert (state.cluster, state.nodes, state.settings) == ("", (), {})
    assert [each.name for each in state.stacks] == ["s"]


def test_a_cluster_with_nothing_but_a_name_is_fine() -> None:
    assert loaded({}).objects == ()


def test_each_field_of_a_node_has_its_own_line() -> None:
    keys = ("role: worker", "availability: drain", "labels:", "  a.b: 1", "  c: 2")
    node = "    - hostname: a\n" + "".join(f"      {key}\n" for key in keys)
    (found,) = loaded({"swarm.yaml": CLUSTER + "spec:\n  nodes:\n" + node}).nodes
    first = found.place.line
    paths = ("Role", "Availability", 'Labels["a.b"]', 'Labels["c"]', 'Labels["gone"]')
    assert [found.place_of(path).line - first for path in paths] == [1, 2, 4, 5, 0]


def test_a_variable_in_swarm_yaml_is_taken_as_it_stands_with_a_warning() -> None:
    text = (
        CLUSTER + 'spec:\n  nodes:\n    - {hostname: one, labels: {zone: "${ZONE:-x}", price: "5$", shell: "$ZONE"}}\n'
    )
    state = loaded({"swarm.yaml": text}, ZONE="west")
    assert state.nodes[0].labels == {"zone": "${ZONE:-x}", "price": "5$", "shell": "$ZONE"}
    [warning] = state.warnings
    assert warning.code is ErrorCode.BAD_INTERPOLATION
    assert warning.place is not None
    assert warning.place.key_path == "spec.nodes[0].labels.zone"
    assert warning.what == "`spec.nodes[0].labels.zone` has a variable, which is taken as it stands."
