"""Objects: what every backend of the Cluster port promises about reading and writing them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind
from tests.contract.subject import SECOND, Subject, missing, overlay, secret, service

SPECS: dict[Kind, JsonObject] = {
    Kind.NETWORK: overlay("port_net", Labels={"a": "1"}, Attachable=True),
    Kind.SECRET: secret("port_secret", a="1"),
    Kind.CONFIG: secret("port_config", a="1"),
    Kind.SERVICE: service("port_service", replicas=0),
}
UPDATABLE = (Kind.SECRET, Kind.CONFIG, Kind.SERVICE)
CREATABLE = tuple(SPECS)
UNKNOWN_ID = "0123456789abcdefghijklmno"

FULL_CONTAINER: JsonObject = {
    "Args": ["$(x)"],
    "Env": ["B=2", "A=1", "EMPTY="],
    "Dir": "/tmp",
    "User": "0",
    "Labels": {"container": "label"},
    "StopSignal": "SIGTERM",
    "ReadOnly": True,
    "Init": True,
    "Hosts": ["10.0.0.9 other"],
    "DNSConfig": {"Nameservers": ["10.0.0.1"], "Search": ["example"], "Options": ["ndots:2"]},
    "Healthcheck": {"Test": ["NONE"]},
    "Sysctls": {"net.core.somaxconn": "1024"},
    "CapabilityAdd": ["CAP_NET_ADMIN"],
    "CapabilityDrop": ["CAP_MKNOD"],
    "Ulimits": [{"Name": "nofile", "Hard": 2048, "Soft": 1024}],
    "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576}}],
}


def full_service() -> JsonObject:
    """Return a spec with most of what the Engine API 1.41 knows, much of which no room of ours looks at."""
    spec = service("port_full", replicas=0, container=FULL_CONTAINER)
    spec["Labels"] = {"a": "1", "with.dots/and-more": ""}
    spec["TaskTemplate"] |= {
        "Resources": {
            "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 64 << 20, "Pids": 50},
            "Reservations": {
                "MemoryBytes": 16 << 20,
                "GenericResources": [{"DiscreteResourceSpec": {"Kind": "ssd", "Value": 1}}],
            },
        },
        "Placement": {
            "Constraints": ["node.role==worker", "node.labels.zone != b"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
            "MaxReplicas": 2,
            "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
        },
        "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
        "ForceUpdate": 3,
    }
    rollout = {
        "Parallelism": 2,
        "Delay": SECOND,
        "FailureAction": "continue",
        "Monitor": 2 * SECOND,
        "MaxFailureRatio": 0.25,
        "Order": "start-first",
    }
    spec |= {"UpdateConfig": rollout, "RollbackConfig": {**rollout, "FailureAction": "pause", "Order": "stop-first"}}
    port = {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 18080, "PublishMode": "host"}
    spec["EndpointSpec"] = {"Mode": "vip", "Ports": [port]}
    return spec


@pytest.mark.parametrize("kind", CREATABLE)
async def test_created_object_is_observed_until_removed(subject: Subject, kind: Kind) -> None:
    spec = SPECS[kind]
    object_id = await subject.cluster.create(kind, spec)

    found = (await subject.cluster.observe()).by_name(kind)[spec["Name"]]
    assert (found.id, found.kind, found.labels) == (object_id, kind, spec["Labels"])
    assert (await subject.cluster.get(kind, object_id)).id == object_id

    await subject.cluster.remove(kind, object_id)
    assert object_id not in [seen.id for seen in (await subject.cluster.observe()).of_kind(kind)]
    async with subject.refusing(ErrorCode.OBJECT_NOT_FOUND):
        await subject.cluster.get(kind, object_id)


async def test_every_field_of_a_service_survives_the_way_there_and_back(subject: Subject) -> None:
    spec = full_service()
    object_id = await subject.cluster.create(Kind.SERVICE, spec)
    assert missing(spec, (await subject.cluster.get(Kind.SERVICE, object_id)).spec) == []

    changed = {**spec, "Labels": {"b": "2"}}
    seen = await subject.at_rest(Kind.SERVICE, object_id)
    await subject.cluster.update(Kind.SERVICE, object_id, seen.version, changed)
    after = await subject.cluster.get(Kind.SERVICE, object_id)
    assert missing(changed, after.spec) == []
    assert after.labels == {"b": "2"}


async def test_services_come_without_defaults_that_nobody_asked_for(subject: Subject) -> None:
    spec = {"Name": "port_bare", "TaskTemplate": {"ContainerSpec": {"Image": "swarmctl-test:1"}}}
    object_id = await subject.cluster.create(Kind.SERVICE, {**spec, "Mode": {"Replicated": {"Replicas": 0}}})

    found = (await subject.cluster.get(Kind.SERVICE, object_id)).spec
    assert "UpdateConfig" not in found
    assert "RestartPolicy" not in found["TaskTemplate"]


async def test_network_fields_survive_and_a_subnet_is_allotted(subject: Subject) -> None:
    spec = overlay("port_fields", Internal=True, Attachable=True, Options={"com.docker.network.driver.mtu": "1400"})
    object_id = await subject.cluster.create(Kind.NETWORK, spec)
    # A swarm allots in a step of its own; until then dockerd does not even tell the driver.
    actual = await subject.until(
        "the network has a subnet",
        lambda seen: (seen.by_name(Kind.NETWORK)["port_fields"].dig("IPAM", "Config") or [{}])[0].get("Subnet"),
    )
    assert actual.by_name(Kind.NETWORK)["port_fields"].version == 0

    found = (await subject.cluster.get(Kind.NETWORK, object_id)).spec
    assert (found["Driver"], found["Internal"], found["Attachable"], found["Scope"]) == ("overlay", True, True, "swarm")
    assert found["Options"]["com.docker.network.driver.mtu"] == "1400"


async def test_a_given_subnet_is_kept(subject: Subject) -> None:
    config = [{"Subnet": "10.77.3.0/24", "Gateway": "10.77.3.1"}]
    object_id = await subject.cluster.create(
        Kind.NETWORK, overlay("port_subnet", IPAM={"Driver": "default", "Config": config})
    )
    # Docker shows nothing of a network's addresses until its allocator has looked at it.
    actual = await subject.until("the network has addresses", lambda seen: _addresses(seen, "port_subnet"))
    assert actual.by_name(Kind.NETWORK)["port_subnet"].id == object_id
    assert _addresses(actual, "port_subnet") == config


def _addresses(actual: ActualState, network: str) -> JsonValue:
    return actual.by_name(Kind.NETWORK)[network].dig("IPAM", "Config")


async def test_the_ingress_network_and_the_predefined_ones_are_known(subject: Subject) -> None:
    actual = await subject.cluster.observe()
    assert [network.name for network in actual.networks if network.dig("Ingress")] == ["ingress"]
    assert {name for name, _ in actual.predefined_networks} == {"host", "bridge"}
    assert not {"host", "bridge"} & set(actual.by_name(Kind.NETWORK))


@pytest.mark.parametrize("replicas", [0, 1])
async def test_a_predefined_network_that_a_service_uses_is_known_by_its_id(subject: Subject, replicas: int) -> None:
    spec = service("port_host", replicas=replicas, Networks=[{"Target": "host"}])
    object_id = await subject.cluster.create(Kind.SERVICE, spec)
    await subject.running(object_id, replicas)
    actual = await subject.cluster.observe()
    (attachment,) = actual.by_name(Kind.SERVICE)["port_host"].spec["TaskTemplate"]["Networks"]
    assert dict(actual.predefined_networks)["host"] == attachment["Target"]


async def test_network_names_in_a_service_become_ids(subject: Subject) -> None:
    network_id = await subject.cluster.create(Kind.NETWORK, overlay("port_target"))
    attachment = {"Target": "port_target", "Aliases": ["alias"]}
    spec = service("port_attached", replicas=0, Networks=[attachment])
    object_id = await subject.cluster.create(Kind.SERVICE, spec)

    found = (await subject.cluster.get(Kind.SERVICE, object_id)).spec
    assert found["TaskTemplate"]["Networks"] == [{"Target": network_id, "Aliases": ["alias"]}]


async def test_a_service_on_an_unknown_network_is_refused(subject: Subject) -> None:
    # Engines before 25 call it a failure of theirs, later ones a missing object.
    async with subject.refusing(ErrorCode.OBJECT_NOT_FOUND, ErrorCode.REQUEST_REFUSED):
        await subject.cluster.create(Kind.SERVICE, service("port_lost", Networks=[{"Target": "nowhere"}]))
    assert (await subject.cluster.observe()).services == ()


@pytest.mark.parametrize("kind", UPDATABLE)
async def test_an_update_raises_the_version(subject: Subject, kind: Kind) -> None:
    object_id = await subject.cluster.create(kind, SPECS[kind])
    before = await subject.at_rest(kind, object_id)
    await subject.cluster.update(kind, object_id, before.version, {**before.spec, "Labels": {"b": "2"}})

    after = await subject.cluster.get(kind, object_id)
    assert after.version > before.version
    assert after.labels == {"b": "2"}


@pytest.mark.parametrize("kind", UPDATABLE)
async def test_a_stale_version_is_refused_and_changes_nothing(subject: Subject, kind: Kind) -> None:
    object_id = await subject.cluster.create(kind, SPECS[kind])
    first = await subject.at_rest(kind, object_id)
    await subject.cluster.update(kind, object_id, first.version, {**first.spec, "Labels": {"b": "2"}})
    current = await subject.cluster.get(kind, object_id)

    async with subject.refusing(ErrorCode.STALE_VERSION):
        await subject.cluster.update(kind, object_id, first.version, {**first.spec, "Labels": {"c": "3"}})
    now = await subject.cluster.get(kind, object_id)
    assert (now.version, now.spec) == (current.version, current.spec)


@pytest.mark.parametrize("kind", CREATABLE)
async def test_a_name_is_given_once(subject: Subject, kind: Kind) -> None:
    await subject.cluster.create(kind, SPECS[kind])
    async with subject.refusing(ErrorCode.NAME_CONFLICT):
        await subject.cluster.create(kind, SPECS[kind])


@pytest.mark.parametrize("kind", [*CREATABLE, Kind.NODE])
async def test_what_is_not_there_cannot_be_removed(subject: Subject, kind: Kind) -> None:
    async with subject.refusing(ErrorCode.OBJECT_NOT_FOUND):
        await subject.cluster.remove(kind, UNKNOWN_ID)


@pytest.mark.parametrize("kind", [*UPDATABLE, Kind.NODE])
async def test_what_is_not_there_cannot_be_updated(subject: Subject, kind: Kind) -> None:
    spec = {"Role": "worker", "Availability": "active"} if kind is Kind.NODE else SPECS[kind]
    async with subject.refusing(ErrorCode.OBJECT_NOT_FOUND):
        await subject.cluster.update(kind, UNKNOWN_ID, 1, spec)


@pytest.mark.parametrize("kind", [Kind.SECRET, Kind.CONFIG])
async def test_a_secret_or_config_in_use_stays(subject: Subject, kind: Kind) -> None:
    object_id = await subject.cluster.create(kind, SPECS[kind])
    name = SPECS[kind]["Name"]
    file = {"Name": "there", "UID": "0", "GID": "0", "Mode": 0o444}
    field, prefix = ("Secrets", "Secret") if kind is Kind.SECRET else ("Configs", "Config")
    reference = {"File": file, f"{prefix}ID": object_id, f"{prefix}Name": name}
    spec = service("port_user", replicas=0, container={field: [reference]})
    service_id = await subject.cluster.create(Kind.SERVICE, spec)
    assert missing(spec, (await subject.cluster.get(Kind.SERVICE, service_id)).spec) == []

    async with subject.refusing(ErrorCode.OBJECT_IN_USE):
        await subject.cluster.remove(kind, object_id)
    assert (await subject.cluster.get(kind, object_id)).id == object_id

    await subject.cluster.remove(Kind.SERVICE, service_id)
    await subject.cluster.remove(kind, object_id)


async def test_a_network_in_use_stays(subject: Subject) -> None:
    network_id = await subject.cluster.create(Kind.NETWORK, overlay("port_used"))
    await subject.cluster.create(Kind.SERVICE, service("port_user", replicas=0, Networks=[{"Target": network_id}]))
    async with subject.refusing(ErrorCode.OBJECT_IN_USE):
        await subject.cluster.remove(Kind.NETWORK, network_id)
    assert (await subject.cluster.get(Kind.NETWORK, network_id)).id == network_id


async def test_secrets_come_back_without_their_content_and_configs_with_it(subject: Subject) -> None:
    secret_id = await subject.cluster.create(Kind.SECRET, secret("port_secret", b"t0p"))
    config_id = await subject.cluster.create(Kind.CONFIG, secret("port_config", b"open"))

    actual = await subject.cluster.observe()
    for hidden in (await subject.cluster.get(Kind.SECRET, secret_id), actual.by_name(Kind.SECRET)["port_secret"]):
        assert "Data" not in hidden.spec
        assert "dDBw" not in str(hidden.raw)  # "t0p" in base64
    for shown in (await subject.cluster.get(Kind.CONFIG, config_id), actual.by_name(Kind.CONFIG)["port_config"]):
        assert shown.spec["Data"] == "b3Blbg=="


@pytest.mark.parametrize("kind", [Kind.SECRET, Kind.CONFIG])
async def test_only_labels_of_secrets_and_configs_can_change(subject: Subject, kind: Kind) -> None:
    object_id = await subject.cluster.create(kind, SPECS[kind])
    seen = await subject.cluster.get(kind, object_id)
    other: dict[str, Any]
    for other in ({**seen.spec, "Data": "b3RoZXI="}, {**seen.spec, "Name": "port_renamed"}):
        async with subject.refusing(ErrorCode.REQUEST_REFUSED):
            await subject.cluster.update(kind, object_id, seen.version, other)
    assert (await subject.cluster.get(kind, object_id)).spec == seen.spec


@pytest.mark.parametrize("kind", [Kind.SECRET, Kind.CONFIG])
async def test_content_of_a_secret_or_config_has_a_limit(subject: Subject, kind: Kind) -> None:
    for content in (b"", b"x" * 1_024_001):
        async with subject.refusing(ErrorCode.REQUEST_REFUSED):
            await subject.cluster.create(kind, secret("port_sized", content))


async def test_a_network_is_not_updatable(subject: Subject) -> None:
    network_id = await subject.cluster.create(Kind.NETWORK, overlay("port_fixed"))
    async with subject.refusing(ErrorCode.NOT_UPDATABLE):
        await subject.cluster.update(Kind.NETWORK, network_id, 0, overlay("port_fixed", Attachable=True))


@pytest.mark.parametrize("name", ["-x", "with space", "x" * 64])
async def test_a_bad_service_name_is_refused(subject: Subject, name: str) -> None:
    async with subject.refusing(ErrorCode.REQUEST_REFUSED):
        await subject.cluster.create(Kind.SERVICE, service(name))


async def test_a_bad_constraint_is_refused(subject: Subject) -> None:
    async with subject.refusing(ErrorCode.REQUEST_REFUSED):
        await subject.cluster.create(Kind.SERVICE, service("port_bad", Placement={"Constraints": ["node.role=worker"]}))


async def test_an_image_that_no_registry_has_is_told_apart_from_a_backend_without_images(subject: Subject) -> None:
    image = "127.0.0.1:9/no/registry:1"
    if subject.backend == "docker":
        async with subject.refusing(ErrorCode.IMAGE_UNRESOLVED):
            await subject.cluster.resolve_image(image)
    else:
        assert await subject.cluster.resolve_image(image) is None


@pytest.mark.parametrize("name", ["no_such_volume", ""])
async def test_a_volume_that_is_not_there_can_not_be_removed(subject: Subject, name: str) -> None:
    # A swarm of processes has no engine whose volumes these could be.
    async with subject.refusing(ErrorCode.OBJECT_NOT_FOUND, ErrorCode.REQUEST_REFUSED):
        await subject.cluster.remove_volume(name)


async def test_events_tell_of_a_create(subject: Subject) -> None:
    stream = subject.cluster.events()
    waiting = asyncio.ensure_future(_first_of(stream, Kind.CONFIG))
    created: dict[str, str] = {}
    try:
        # A stream tells what comes after it is open, and when that is nobody says: hence more than one.
        for number in range(50):
            name = f"port_event{number}"
            created[await subject.cluster.create(Kind.CONFIG, secret(name))] = name
            done, _ = await asyncio.wait({waiting}, timeout=0.2)
            if done:
                break
        event = await asyncio.wait_for(waiting, 5)
    finally:
        waiting.cancel()
        await stream.aclose()  # type: ignore[attr-defined]
    assert event.action == "create"
    assert created[event.object_id] == event.name
    assert event.at > 1_600_000_000


async def _first_of(stream: AsyncIterator[ClusterEvent], kind: Kind) -> ClusterEvent:
    async for event in stream:
        if event.kind == kind:
            return event
    raise AssertionError("The stream ended.")
