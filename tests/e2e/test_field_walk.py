"""No false negative: whatever field of a deployed service is changed behind Git's back, the diff names just that field.

A stack with nearly every key is deployed on a real engine. Then each leaf of what the engine stores is changed by
itself, and each field that the stack leaves out is added, by a plain API request; the plan must name that path, with
the value that the swarm has now and the one that the file asks for, and nothing else.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.docker.cluster import connect
from reconciler.adapters.schema_files import read_schemas
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.manifests.load import LoadInputs, load_stack_file
from reconciler.model.desired import DesiredState
from reconciler.model.plan import ABSENT, Change, Plan
from reconciler.planning.plan import plan
from reconciler.settings import EndpointSettings
from tests.lab.lab import Lab
from tests.lab.meddling import put_service
from tests.lab.swept import sweep

pytestmark = pytest.mark.engine

STACK = """\
version: "3.9"
services:
  full:
    image: swarmctl-test:1
    command: [sleep, "1"]
    entrypoint: [sh]
    environment: [A=1, B=2]
    labels: {inner: one}
    hostname: host
    user: "7"
    working_dir: /w
    stop_signal: SIGINT
    stop_grace_period: 3s
    init: true
    tty: true
    read_only: true
    stdin_open: true
    dns: [1.1.1.1]
    dns_search: [example.org]
    extra_hosts: ["a:1.2.3.4"]
    sysctls: {net.core.somaxconn: "9"}
    ulimits: {nofile: {soft: 5, hard: 9}}
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    healthcheck: {test: [CMD, "true"], interval: 5s, timeout: 3s, retries: 2, start_period: 4s}
    logging: {driver: json-file, options: {max-size: 1m}}
    networks: {back: {aliases: [z]}}
    ports: [{target: 80, published: 8080, protocol: tcp, mode: host}]
    volumes: ["data:/data", "/tmp:/host:ro", {type: tmpfs, target: /t, tmpfs: {size: 4096}}]
    configs: [{source: app, target: /app, uid: "1", gid: "2", mode: 256}]
    secrets: [{source: key, target: k, mode: 256}]
    deploy:
      replicas: 0
      labels: {outer: one}
      endpoint_mode: vip
      restart_policy: {condition: on-failure, delay: 7s, max_attempts: 3, window: 9s}
      update_config:
        {parallelism: 2, delay: 1s, monitor: 6s, order: start-first, failure_action: continue, max_failure_ratio: 0.25}
      rollback_config:
        {parallelism: 3, delay: 2s, monitor: 7s, order: start-first, failure_action: continue, max_failure_ratio: 0.5}
      placement: {constraints: [node.role == worker], preferences: [{spread: node.labels.z}], max_replicas_per_node: 4}
      resources:
        limits: {cpus: "0.5", memory: 64M, pids: 50}
        reservations: {cpus: "0.1", memory: 16M, generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}
  bare: {image: swarmctl-test:1, command: sleep 1, networks: [back], deploy: {replicas: 0}}
networks: {back: {}}
volumes: {data: {driver: local, driver_opts: {o: size=1m}, labels: {v: one}}}
configs: {app: {file: app.ini}}
secrets: {key: {file: app.ini}}
"""  # fmt: skip

INSTEAD = {
    "any": "none", "on-failure": "any", "start-first": "stop-first", "stop-first": "start-first", "continue": "pause",
    "vip": "dnsrr", "tcp": "udp", "host": "ingress", "node.role == worker": "node.role == manager",
    "node.labels.z": "node.labels.y", "SIGINT": "SIGTERM", "1.1.1.1": "8.8.8.8", "1.2.3.4 a": "1.2.3.4 b",
    "CAP_NET_ADMIN": "CAP_SYS_TIME", "CAP_MKNOD": "CAP_CHOWN", "CMD": "CMD-SHELL", "A=1": "A=9", "B=2": "B=9",
    "swarmctl-test:1": "swarmctl-test:2", "volume": "bind", "bind": "volume",
}  # fmt: skip
"""Another valid value for a value that not any text may replace."""

FIXED = ("Name", "ForceUpdate", "Runtime", "Isolation", "SecretID", "ConfigID")
"""What can't be changed, or is no field that a file could ask for; ids are changed by name instead."""

ADDED: list[tuple[str, Any]] = [
    ("Labels.new", "x"),
    ("Mode.Replicated.Replicas", 3),
    ("UpdateConfig", {"Parallelism": 4}),
    ("RollbackConfig", {"Parallelism": 4}),
    ("EndpointSpec.Ports", [{"TargetPort": 81, "PublishedPort": 8181, "Protocol": "tcp", "PublishMode": "host"}]),
    ("TaskTemplate.LogDriver", {"Name": "none"}),
    ("TaskTemplate.RestartPolicy", {"Condition": "none"}),
    ("TaskTemplate.Resources.Limits", {"MemoryBytes": 33554432}),
    ("TaskTemplate.Resources.Reservations", {"NanoCPUs": 100000000}),
    ("TaskTemplate.Placement.Constraints", ["node.role == manager"]),
    ("TaskTemplate.Placement.MaxReplicas", 2),
    ("TaskTemplate.Placement.Platforms", [{"OS": "linux"}]),
    ("TaskTemplate.ContainerSpec.Command", ["sh"]),
    ("TaskTemplate.ContainerSpec.Env", ["X=1"]),
    ("TaskTemplate.ContainerSpec.Dir", "/x"),
    ("TaskTemplate.ContainerSpec.User", "5"),
    ("TaskTemplate.ContainerSpec.Groups", ["6"]),
    ("TaskTemplate.ContainerSpec.Hostname", "h"),
    ("TaskTemplate.ContainerSpec.Hosts", ["1.2.3.4 x"]),
    ("TaskTemplate.ContainerSpec.Init", False),
    ("TaskTemplate.ContainerSpec.TTY", True),
    ("TaskTemplate.ContainerSpec.OpenStdin", True),
    ("TaskTemplate.ContainerSpec.ReadOnly", True),
    ("TaskTemplate.ContainerSpec.StopSignal", "SIGINT"),
    ("TaskTemplate.ContainerSpec.StopGracePeriod", 1000000000),
    ("TaskTemplate.ContainerSpec.Healthcheck", {"Test": ["NONE"]}),
    ("TaskTemplate.ContainerSpec.DNSConfig", {"Options": ["ndots:1"]}),
    ("TaskTemplate.ContainerSpec.Mounts", [{"Type": "tmpfs", "Target": "/new"}]),
    ("TaskTemplate.ContainerSpec.Sysctls", {"a.b": "1"}),
    ("TaskTemplate.ContainerSpec.Ulimits", [{"Name": "core", "Soft": 1, "Hard": 1}]),
    ("TaskTemplate.ContainerSpec.CapabilityAdd", ["CAP_SYS_TIME"]),
    ("TaskTemplate.ContainerSpec.CapabilityDrop", ["CAP_CHOWN"]),
    ("TaskTemplate.ContainerSpec.Labels.new", "x"),
    ("TaskTemplate.ContainerSpec.Privileges.SELinuxContext", {"Disable": True}),
]
"""Fields that the service `bare` leaves out, each with a value."""

Steps = tuple[str | int, ...]


@dataclass
class Walk:
    """The deployed stack, and ways to look at it and to change it."""

    host: str
    desired: DesiredState
    client: docker.APIClient

    def plan(self) -> Plan:
        async def look() -> Plan:
            cluster = await connect(EndpointSettings(host=self.host))
            try:
                return plan(self.desired, await cluster.observe())
            finally:
                await cluster.close()

        return asyncio.run(look())

    def put(self, name: str, spec: dict[str, Any]) -> None:
        """Update a service with exactly `spec`, as whoever speaks to the API could."""
        put_service(self.client, name, spec)

    def spec(self, name: str) -> dict[str, Any]:
        """What the engine stores, without what it would show as a default."""
        return self.client._result(self.client._get(self.client._url("/services/{0}", name)), True)["Spec"]


@pytest.fixture(scope="module")
def walk(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder: Path = tmp_path_factory.mktemp("walk")
    (folder / "w.yaml").write_text(STACK)
    (folder / "app.ini").write_text("x = 1\n")
    revision = DirectoryRevision.open(str(folder / "w.yaml"))
    inputs = LoadInputs(read_schemas(), {}, "/root", str(folder))
    desired = load_stack_file(revision, "w.yaml", "w", inputs)

    async def deploy() -> None:
        cluster = await connect(EndpointSettings(host=lab.manager.host))
        actual = await cluster.observe()
        result = await apply(plan(desired, actual), actual, cluster, ApplyOptions(wait=False), lambda step: None)
        await cluster.close()
        assert [one.problem for one in result.actions if one.problem] == []

    asyncio.run(deploy())
    with lab.manager.client() as client:
        yield Walk(lab.manager.host, desired, client)
    sweep(lab)


def leaves(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """The steps to each leaf of a spec that a file could ask for; a list of plain values is one leaf."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in FIXED and not key.startswith(("com.docker.", "io.swarmctl.")):
                yield from leaves(item, (*steps, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, item in enumerate(value):
            yield from leaves(item, (*steps, index))
    elif value not in (None, [], {}):
        yield steps


def at(value: Any, steps: Steps) -> Any:
    for step in steps:
        value = value[step]
    return value


def found_at(value: Any, steps: Steps) -> Any:
    """What is stored there; ABSENT where the engine leaves out a value that says nothing, such as false."""
    try:
        return at(value, steps)
    except (KeyError, IndexError):
        return ABSENT


def another(value: Any) -> Any:
    """A valid value that differs from `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1000 if value > 1000 else value + 1
    if isinstance(value, float):
        return value / 2
    if isinstance(value, list):
        return [*value[:-1], another(value[-1])]
    return INSTEAD.get(value, f"{value}x")


def refused(walk: Walk, spec: dict[str, Any]) -> bool:
    """Try to store a changed spec; whether the engine refuses it or stores it as it was."""
    before = walk.spec("w_full")
    try:
        walk.put("w_full", spec)
    except docker.errors.APIError:
        return True
    return walk.spec("w_full") == before


def inside(change: Change, steps: Steps) -> bool:
    """Whether a change's path is the place that `steps` lead to, whatever names the plan has for list items."""
    names = [step for step in steps if isinstance(step, str)]
    position = 0
    for name in names:
        found = change.path.find(name, position)
        if found < 0:
            return any(isinstance(step, int) for step in steps) and name == names[-1]
        position = found + len(name)
    return True


def test_a_change_of_any_stored_field_is_named(walk: Walk):
    assert walk.plan().is_empty
    original = walk.spec("w_full")
    seen, skipped = 0, []
    for steps in list(leaves(original)):
        changed = copy.deepcopy(original)
        parent, last = at(changed, steps[:-1]), steps[-1]
        value = parent[last]
        parent[last] = another(value)
        if refused(walk, changed):
            skipped.append(".".join(map(str, steps)))
            continue
        changes = [change for action in walk.plan().actions for change in action.changes]
        stored = walk.spec("w_full")
        walk.put("w_full", original)
        assert changes, f"{steps}: {value!r} -> {parent[last]!r} went unseen"
        assert all(inside(change, steps) for change in changes), (steps, changes)
        if not isinstance(value, list) and "Target" not in steps and len(changes) == 1:
            assert (changes[0].old, changes[0].new) == (found_at(stored, steps), value)
        seen += 1
    assert walk.plan().is_empty
    assert seen >= 75, (seen, skipped)


@pytest.mark.parametrize(("path", "value"), ADDED, ids=[path for path, _ in ADDED])
def test_a_field_that_the_file_leaves_out_is_named_when_somebody_adds_it(walk: Walk, path: str, value: Any):
    original = walk.spec("w_bare")
    changed = copy.deepcopy(original)
    parent = changed
    *steps, last = path.split(".")
    for step in steps:
        parent[step] = parent.get(step) or {}
        parent = parent[step]
    parent[last] = value
    walk.put("w_bare", changed)
    try:
        changes = [change for action in walk.plan().actions for change in action.changes]
        assert changes, f"{path} went unseen"
        for change in changes:
            assert change.path.replace('["', ".").startswith(path), change
    finally:
        walk.put("w_bare", original)
    assert walk.plan().is_empty


@pytest.mark.parametrize("kind", ["config", "secret"])
def test_a_changed_label_of_a_config_or_secret_is_named(walk: Walk, kind: str):
    name = {"config": "w_app", "secret": "w_key"}[kind]
    listed = getattr(walk.client, f"{kind}s")(filters={"name": name})

    def put(labels: dict[str, str]) -> None:
        found = next(one for one in getattr(walk.client, f"{kind}s")() if one["ID"] == listed[0]["ID"])
        url = walk.client._url(f"/{kind}s/{{0}}/update", found["ID"])
        body = {**found["Spec"], "Labels": labels}
        walk.client._raise_for_status(
            walk.client._post_json(url, data=body, params={"version": found["Version"]["Index"]})
        )

    original = listed[0]["Spec"]["Labels"]
    put({**original, "by": "hand"})
    try:
        changes = [change for action in walk.plan().actions for change in action.changes]
        assert [(change.path, change.old, change.new) for change in changes] == [('Labels["by"]', "hand", ABSENT)]
    finally:
        put(original)
    assert walk.plan().is_empty


def test_a_network_made_anew_with_other_fields_is_named(walk: Walk, lab: Lab):
    original = walk.client.inspect_network("w_back")
    specs = {name: walk.spec(name) for name in ("w_full", "w_bare")}
    for name, spec in specs.items():
        away = copy.deepcopy(spec)
        away["TaskTemplate"].pop("Networks")
        walk.put(name, away)
    walk.client.remove_network(original["Id"])
    walk.client.create_network("w_back", driver="overlay", attachable=True, labels={**original["Labels"], "by": "hand"})
    made = walk.plan()
    network = next(action for action in made.actions if action.kind.value == "network")
    assert {change.path: (change.old, change.new) for change in network.changes} == {
        "Attachable": (True, False),
        'Labels["by"]': ("hand", ABSENT),
    }
    assert {"service.w_full", "service.w_bare"} <= {action.id for action in made.actions}
