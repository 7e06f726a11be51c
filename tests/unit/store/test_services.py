"""What the store fills into services, and what it refuses, in Docker Swarm's words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from reconciler.model.commands import (
    CreateConfig,
    CreateNetwork,
    CreateSecret,
    CreateService,
    RemoveNetwork,
    RemoveSecret,
    RollBackService,
    SetUpdateStatus,
    UpdateService,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.tables import UpdateState
from reconciler.store.names import is_image_reference
from tests.unit.store.conftest import NOW, Store

REFUSED = ErrorCode.REQUEST_REFUSED
INVALID = "rpc error: code = InvalidArgument desc = "


def spec(name: str = "web", **fields: Any) -> JsonObject:
    template = {"ContainerSpec": {"Image": "app:1", **fields.pop("container", {})}, **fields.pop("task", {})}
    return {"Name": name, "TaskTemplate": template, **fields}


def create(given: JsonObject, service_id: str = "s1") -> CreateService:
    return CreateService(at=NOW, id=service_id, spec=given)


def ports(*published: int, mode: str = "ingress", protocol: str = "tcp") -> JsonObject:
    return {
        "EndpointSpec": {
            "Ports": [
                {"TargetPort": 80, "PublishedPort": port, "PublishMode": mode, "Protocol": protocol}
                for port in published
            ]
        }
    }


def test_a_bare_service_gets_the_defaults_of_a_manager_and_no_others(store: Store) -> None:
    store.do(create(spec()))
    assert store.tables.services["s1"].spec == {
        "Name": "web",
        "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "app:1", "Isolation": "default"},
            "Runtime": "container",
            "ForceUpdate": 0,
        },
        "Mode": {"Replicated": {"Replicas": 1}},
    }


def test_blocks_that_were_sent_are_filled_and_kept(store: Store) -> None:
    given = spec(
        task={"RestartPolicy": {"Delay": 1}, "Placement": {}, "Networks": []},
        UpdateConfig={"Parallelism": 2, "Order": ""},
        RollbackConfig={},
        EndpointSpec={"Ports": [{"TargetPort": 80, "PublishedPort": 8080, "Protocol": "TCP"}]},
    )
    store.do(create(given))
    stored = store.tables.services["s1"].spec
    assert stored["TaskTemplate"]["RestartPolicy"] == {"Delay": 1, "Condition": "any", "MaxAttempts": 0}
    assert stored["TaskTemplate"]["Placement"] == {}
    assert stored["UpdateConfig"] == {"Parallelism": 2, "Order": "stop-first", "FailureAction": "pause"}
    assert stored["RollbackConfig"] == {"Order": "stop-first", "FailureAction": "pause"}
    assert stored["EndpointSpec"]["Ports"] == [
        {"TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp", "PublishMode": "ingress"}
    ]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"Replicated": {}}, {"Replicated": {"Replicas": 1}}),
        ({"Global": None}, {"Global": {}}),
        ({"ReplicatedJob": {}}, {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}),
        ({"ReplicatedJob": {"MaxConcurrent": 3}}, {"ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}}),
    ],
)
def test_modes_are_completed(store: Store, given: JsonObject, stored: JsonObject) -> None:
    store.do(create(spec(Mode=given)))
    assert store.tables.services["s1"].spec["Mode"] == stored


def test_mounts_and_preferences_are_stored_as_an_engine_does(store: Store) -> None:
    """Seen on an engine, of requests that the CLI does not make."""
    mounts = [{}, {"Type": "BIND", "BindOptions": {}}, {"Type": "volume", "BindOptions": {"NonRecursive": True}}]
    targets = [{**mount, "Target": f"/{number}"} for number, mount in enumerate(mounts)]
    placement = {"MaxReplicas": 1, "Preferences": [{}, {"Spread": {"SpreadDescriptor": "node.id"}}]}
    store.do(create(spec(container={"Mounts": targets}, task={"Placement": placement})))
    stored = store.tables.services["s1"].spec["TaskTemplate"]
    assert stored["ContainerSpec"]["Mounts"] == [
        {"Target": "/0", "Type": "bind"},
        {"Target": "/1", "Type": "bind"},
        {"Target": "/2", "Type": "volume", "BindOptions": {"NonRecursive": True, "Propagation": "rprivate"}},
    ]
    assert stored["Placement"] == {"MaxReplicas": 1, "Preferences": placement["Preferences"][1:]}
    store.do(create(spec("other", task={"Placement": {"Preferences": [{}]}}), "s2"))
    assert store.tables.services["s2"].spec["TaskTemplate"]["Placement"] == {}


def test_a_credential_spec_in_a_config_needs_that_config(store: Store) -> None:
    privileges = {"CredentialSpec": {"Config": "c1"}}
    why = "CredentialSpec references config 'c1', but that config isn't in config references with RuntimeTarget"
    assert store.refuse(create(spec(container={"Privileges": privileges}))) == (REFUSED, INVALID + why)
    store.do(CreateConfig(at=NOW, id="c1", spec={"Name": "conf", "Data": base64.b64encode(b"x").decode()}))
    reference = {"ConfigID": "c1", "ConfigName": "conf", "Runtime": {}}
    store.do(create(spec(container={"Privileges": privileges, "Configs": [reference]})))


def test_a_network_is_meant_by_the_beginning_of_its_id_if_no_other_begins_so(store: Store) -> None:
    for network_id, name in (("net1", "a"), ("net2", "b")):
        store.do(CreateNetwork(at=NOW, id=network_id, spec={"Name": name, "Driver": "overlay"}))
    given = spec(task={"Networks": [{"Target": "net"}]})
    assert store.refuse(create(given)) == (REFUSED, "network net is ambiguous (2 matches found)")
    store.do(RemoveNetwork(at=NOW, id="net2"))
    store.do(create(given))
    assert store.tables.services["s1"].spec["TaskTemplate"]["Networks"] == [{"Target": "net1"}]


def test_what_was_sent_is_never_changed_in_place(store: Store) -> None:
    given = spec(task={"Networks": [{"Target": "ingress2"}]}, **ports(0))
    store.do(CreateNetwork(at=NOW, id="net1", spec={"Name": "ingress2"}))
    before = repr(given)
    store.do(create(given))
    assert repr(given) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (spec("-web"), INVALID + "name must be valid as a DNS name component"),
        (spec(container={"Image": "UPPER"}), INVALID + 'ContainerSpec: "UPPER" is not a valid repository/tag'),
        (
            spec(container={"Healthcheck": {"Interval": 999_999}}),
            INVALID + "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
        ),
        (
            spec(container={"Healthcheck": {"Retries": -1}}),
            INVALID + "ContainerSpec: Retries in HealthConfig cannot be negative",
        ),
        (spec(container={"Mounts": [{"Type": "bogus", "Target": "/a"}]}), 'invalid MountType: "bogus"'),
        (
            spec(task={"Resources": {"SwapBytes": 1 << 30}}),
            "memory swap provided, but no memory-limit was set",
        ),
        (spec("w" * 64), INVALID + "name must be 63 characters or fewer"),
        (spec(container={"Image": ""}), INVALID + "ContainerSpec: image reference must be provided"),
        (spec(Mode={"Global": {}, "Replicated": {}}), "must specify only one service mode"),
        (spec(Mode={"Replicated": {"Replicas": -1}}), INVALID + "Number of replicas must be non-negative"),
        (spec(Mode={"GlobalJob": {}}, UpdateConfig={"Order": "x"}), INVALID + "Jobs may not have an update config"),
        (spec(task={"RestartPolicy": {"Condition": "foo"}}), 'invalid RestartCondition: "foo"'),
        (spec(task={"RestartPolicy": {"Delay": -1}}), INVALID + "TaskSpec: restart-delay cannot be negative"),
        (spec(UpdateConfig={"FailureAction": "foo"}), "unrecognized update failure action foo"),
        (spec(UpdateConfig={"Order": "x"}), "unrecognized update order x"),
        (spec(UpdateConfig={"Delay": -1}), INVALID + "TaskSpec: update-delay cannot be negative"),
        (
            spec(UpdateConfig={"MaxFailureRatio": 2}),
            INVALID + "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
        ),
        (spec(EndpointSpec={"Mode": "foo"}), 'invalid resolution mode: "foo"'),
        (
            spec(EndpointSpec={"Mode": "dnsrr", "Ports": [{"TargetPort": 80}]}),
            INVALID + "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (spec(**ports(80, 80)), INVALID + "EndpointSpec: duplicate published ports provided"),
        (
            spec(task={"Resources": {"Limits": {"MemoryBytes": 100}}}),
            INVALID + "invalid memory value 100: Must be at least 4MiB",
        ),
        (
            spec(task={"Resources": {"Limits": {"NanoCPUs": 100}}}),
            INVALID + "invalid cpu value 1e-07: Must be at least 0.001",
        ),
        (
            spec(task={"Placement": {"Constraints": ["node.role=x"]}}),
            "rpc error: code = Unknown desc = constraint expected one operator from ==, !=",
        ),
        (
            spec(container={"Mounts": [{"Target": "/a"}, {"Target": "/a"}]}),
            INVALID + "ContainerSpec: duplicate mount point: /a",
        ),
        (spec(task={"Networks": [{"Target": "nonet"}]}), "network nonet not found"),
        (
            spec(task={"Networks": [{"Target": "ingress"}]}),
            INVALID + 'Service cannot be explicitly attached to the ingress network "ingress"',
        ),
        (
            spec(
                container={
                    "Secrets": [
                        {"SecretName": "a", "SecretID": "x", "File": {"Name": "f"}},
                        {"SecretName": "b", "SecretID": "y", "File": {"Name": "g"}},
                    ]
                }
            ),
            INVALID + "secrets not found: a, b",
        ),
        (
            spec(container={"Configs": [{"ConfigName": "c", "ConfigID": "x", "File": {"Name": "f"}}]}),
            INVALID + "config not found: c",
        ),
        ({"Name": "web", "TaskTemplate": []}, INVALID + "ContainerSpec: image reference must be provided"),
        ({"Name": "web", "TaskTemplate": "x"}, "invalid JSON: the spec has a wrong shape (AttributeError)"),
    ],
)
def test_an_impossible_service_is_refused_in_swarms_words(store: Store, given: JsonObject, message: str) -> None:
    assert store.refuse(create(given)) == (REFUSED, message)


def test_a_name_belongs_to_one_service(store: Store) -> None:
    store.do(create(spec()))
    text = "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists"
    assert store.refuse(create(spec(), "s2")) == (ErrorCode.NAME_CONFLICT, text)


def test_an_ingress_port_belongs_to_one_service(store: Store) -> None:
    store.do(create(spec("a", **ports(8080))))
    text = INVALID + "port '8080' is already in use by service 'a' (s1) as an ingress port"
    assert store.refuse(create(spec("b", **ports(8080)), "s2")) == (REFUSED, text)
    store.do(create(spec("c", **ports(8080, protocol="udp")), "s3"))


def test_a_host_port_may_be_shared_but_not_with_ingress(store: Store) -> None:
    store.do(create(spec("a", **ports(8080, mode="host"))))
    store.do(create(spec("b", **ports(8080, mode="host")), "s2"))
    _, text = store.refuse(create(spec("c", **ports(8080)), "s3"))
    assert text.endswith("as a host-published port")


def test_a_dynamic_port_is_allotted_and_stays_over_updates(store: Store) -> None:
    store.do(create(spec("a", **ports(0, 0))))
    store.do(create(spec("b", **ports(0)), "s2"))
    first = [port["PublishedPort"] for port in store.tables.services["s1"].ports]
    assert first == [30000, 30001]
    assert store.tables.services["s2"].ports[0]["PublishedPort"] == 30002
    version = store.tables.services["s2"].version
    changed = spec("b", Labels={"a": "b"}, **ports(0))
    store.do(UpdateService(at=NOW, id="s2", version=version, spec=changed))
    assert store.tables.services["s2"].ports[0]["PublishedPort"] == 30002


def test_an_update_keeps_the_old_spec_and_restarts_the_update_status(store: Store) -> None:
    store.do(create(spec()))
    first = store.tables.services["s1"]
    store.do(
        SetUpdateStatus(
            at=NOW, service_id="s1", spec_version=first.spec_version, state=UpdateState.UPDATING, message="x"
        )
    )
    version = store.tables.services["s1"].version
    store.do(UpdateService(at=NOW, id="s1", version=version, spec=spec(container={"Image": "app:2"})))
    service = store.tables.services["s1"]
    assert service.previous_spec == first.spec
    assert service.update is None
    assert service.version > version


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (spec("other"), "renaming services is not supported"),
        (spec(Mode={"Global": {}}), "service mode change is not allowed"),
    ],
)
def test_name_and_mode_of_a_service_stay(store: Store, given: JsonObject, message: str) -> None:
    store.do(create(spec()))
    version = store.tables.services["s1"].version
    text = f"rpc error: code = Unimplemented desc = {message}"
    assert store.refuse(UpdateService(at=NOW, id="s1", version=version, spec=given)) == (REFUSED, text)


def test_a_stale_version_is_refused(store: Store) -> None:
    store.do(create(spec()))
    version = store.tables.services["s1"].version
    for stale in (version - 1, version + 1):
        code, text = store.refuse(UpdateService(at=NOW, id="s1", version=stale, spec=spec()))
        assert (code, text) == (
            ErrorCode.STALE_VERSION,
            "rpc error: code = Unknown desc = update out of sequence",
        )


def test_the_course_of_an_older_template_is_refused(store: Store) -> None:
    store.do(create(spec()))
    old = store.tables.services["s1"]
    store.do(UpdateService(at=NOW, id="s1", version=old.version, spec=spec(container={"Image": "app:2"})))
    stale = SetUpdateStatus(
        at=NOW, service_id="s1", spec_version=old.spec_version, state=UpdateState.COMPLETED, message="x"
    )
    assert store.refuse(stale)[0] is ErrorCode.STALE_VERSION


def test_a_rollback_needs_a_previous_spec(store: Store) -> None:
    store.do(create(spec()))
    version = store.tables.services["s1"].version
    text = "rpc error: code = FailedPrecondition desc = service s1 does not have a previous spec"
    assert store.refuse(RollBackService(at=NOW, id="s1", version=version, message="")) == (REFUSED, text)


def test_what_a_service_uses_cannot_be_removed(store: Store) -> None:
    data = base64.b64encode(b"x").decode()
    store.do(CreateSecret(at=NOW, id="sec", spec={"Name": "s", "Data": data}))
    store.do(CreateConfig(at=NOW, id="con", spec={"Name": "c", "Data": data}))
    store.do(CreateNetwork(at=NOW, id="net", spec={"Name": "n"}))
    used = {"Secrets": [{"SecretID": "sec", "SecretName": "s", "File": {"Name": "s"}}]}
    store.do(create(spec(container=used, task={"Networks": [{"Target": "n"}]})))
    store.do(create(spec("web2", container=used), "s2"))
    assert store.refuse(RemoveSecret(at=NOW, id="sec")) == (
        ErrorCode.OBJECT_IN_USE,
        INVALID + "secret 's' is in use by the following services: web, web2",
    )
    assert store.refuse(RemoveNetwork(at=NOW, id="net")) == (
        ErrorCode.OBJECT_IN_USE,
        "rpc error: code = FailedPrecondition desc = network net is in use by service s1",
    )


def test_two_files_of_a_task_need_two_targets(store: Store) -> None:
    data = base64.b64encode(b"x").decode()
    store.do(CreateSecret(at=NOW, id="a", spec={"Name": "a", "Data": data}))
    store.do(CreateSecret(at=NOW, id="b", spec={"Name": "b", "Data": data}))
    references = [{"SecretID": one, "SecretName": one, "File": {"Name": "f"}} for one in ("a", "b")]
    text = INVALID + "secret references 'a' and 'b' have a conflicting target: 'f'"
    assert store.refuse(create(spec(container={"Secrets": references}))) == (REFUSED, text)


@pytest.mark.parametrize(
    ("image", "is_one"),
    [
        ("busybox", True),
        ("busybox:1.36", True),
        ("library/busybox@sha256:" + "a" * 64, True),
        ("localhost/x", True),
        ("127.0.0.1:5000/app:v1", True),
        ("registry.example.com/team/app_one__two-three.four:Tag_1", True),
        ("Registry.Example.com:443/a", True),
        ("[::1]:5000/a", True),
        ("none:1", True),
        ("UPPER", False),
        ("team/UPPER", False),
        ("a" * 64, False),
        ("a//b", False),
        ("a:", False),
        ("a:b:c", False),
        ("a b", False),
        ("a@sha256:12", False),
        ("-a", False),
        ("host.example/" + "a" * 250, False),
        (":1", False),
    ],
)
def test_an_image_is_named_as_docker_has_it(image: str, is_one: bool) -> None:
    assert is_image_reference(image) is is_one


def test_a_port_of_ingress_needs_an_ingress_network(store: Store) -> None:
    store.do(RemoveNetwork(at=NOW, id="in"))
    text = (
        "rpc error: code = FailedPrecondition desc = service needs ingress network, but no ingress network is present"
    )
    assert store.refuse(create(spec(**ports(8080)))) == (REFUSED, text)
    store.do(create(spec(**ports(8080, mode="host"))))


def test_ingress_may_be_made_anew_under_another_name(store: Store) -> None:
    store.do(RemoveNetwork(at=NOW, id="in"))
    store.do(CreateNetwork(at=NOW, id="other", spec={"Name": "door", "Ingress": True}))
    store.do(create(spec(**ports(8080))))
    assert [network_id for network_id, _ in store.tables.services["s1"].virtual_ips] == ["other"]
    _, text = store.refuse(create(spec("web2", task={"Networks": [{"Target": "door"}]}), "s2"))
    assert text.endswith('Service cannot be explicitly attached to the ingress network "door"')
    _, text = store.refuse(RemoveNetwork(at=NOW, id="other"))
    assert text.endswith("ingress network cannot be removed because service s1 depends on it")


def test_when_all_dynamic_ports_are_taken_that_is_said(store: Store) -> None:
    store.do(create(spec("hog", **ports(*range(30_000, 32_768)))))
    _, text = store.refuse(create(spec("late", **ports(0)), "s2"))
    assert text.endswith("no tcp port is left between 30000 and 32767")
    store.do(create(spec("udp", **ports(0, protocol="udp")), "s3"))


def test_names_that_differ_in_case_only_are_the_same_name_and_no_target(store: Store) -> None:
    store.do(create(spec("web")))
    code, text = store.refuse(create(spec("WEB"), "s2"))
    assert (code, text.endswith("service WEB already exists")) == (ErrorCode.NAME_CONFLICT, True)
    store.do(CreateNetwork(at=NOW, id="net", spec={"Name": "Net"}))
    assert store.refuse(CreateNetwork(at=NOW, id="net2", spec={"Name": "nET"}))[0] is ErrorCode.NAME_CONFLICT
    _, text = store.refuse(create(spec("db", task={"Networks": [{"Target": "net2"}]}), "s3"))
    assert text == "network net2 not found"
    store.do(create(spec("db", task={"Networks": [{"Target": "Net"}]}), "s3"))
    _, text = store.refuse(create(spec("db2", task={"Networks": [{"Target": "NET"}]}), "s4"))
    assert text == "network NET not found"
