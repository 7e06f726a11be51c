"""What the leader hands to a node's agent, and what the agent reports back."""

from __future__ import annotations

from datetime import datetime

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject
from reconciler.model.tables import PublishedPort
from reconciler.model.tasks import TaskState


class MountedFile(Discreet, frozen=True):
    """A secret or config of a task. `target` is the path as the spec gives it; `mode` are permission bits."""

    UNSHOWN = frozenset({"content"})

    name: str
    target: str
    mode: int
    content: bytes
    templated: bool = False
    uid: int = 0
    gid: int = 0


class AttachedNetwork(msgspec.Struct, frozen=True):
    """A network of a task. `address` is the task's own there, without the subnet's bits; "" for none."""

    id: str
    name: str
    driver: str
    subnet: str
    address: str
    internal: bool = False
    ingress: bool = False


class Assignment(Discreet, frozen=True):
    """One task of a node, with all that is needed to run it. `spec` is the API's TaskSpec.

    `desired_state` is what it shall become; an agent ignores one lower than it knows. `state` is how far the manager
    knew it to be when it handed it out: an agent that is new must not start again what was started. `ports` are the
    ports that its service publishes, as its endpoint has them; `registry_auth` is what its image is pulled with, in the
    form of the header X-Registry-Auth, "" for nothing. `architecture` is the node's, as its engine tells it;
    `generic_resources` are (kind, name or number) of what the scheduler has chosen there. `lacking` says, in an
    engine's words, which secret or config of the spec there is not any more, "" for none: such a task can't start.
    """

    UNSHOWN = frozenset({"spec", "registry_auth"})

    task_id: str
    service_id: str
    service_name: str
    service_labels: dict[str, str]
    slot: int
    node_id: str
    hostname: str
    desired_state: TaskState
    spec: JsonObject
    secrets: tuple[MountedFile, ...] = ()
    configs: tuple[MountedFile, ...] = ()
    state: TaskState = TaskState.ASSIGNED
    networks: tuple[AttachedNetwork, ...] = ()
    ports: tuple[JsonObject, ...] = ()
    registry_auth: str = ""
    architecture: str = "x86_64"
    generic_resources: tuple[tuple[str, str | int], ...] = ()
    lacking: str = ""

    @property
    def resource_variables(self) -> list[str]:
        """What tells a task which generic resources it was given: DOCKER_RESOURCE_GPU=gpu1,gpu2."""
        given: dict[str, list[str]] = {}
        for kind, value in self.generic_resources:
            given.setdefault(kind.upper(), []).append(str(value))
        return [f"DOCKER_RESOURCE_{kind}={','.join(values)}" for kind, values in given.items()]

    @property
    def task_name(self) -> str:
        """`web.2.<task id>`, or with the node's id in place of slot 0, as containers are called."""
        return f"{self.service_name}.{self.slot or self.node_id}.{self.task_id}"

    @property
    def container(self) -> JsonObject:
        return self.spec.get("ContainerSpec") or {}


class AssignmentSet(msgspec.Struct, frozen=True):
    """Everything that one node shall know of, complete: what is in neither part is forgotten, with its folder.

    `wanted` are the tasks that have not ended, by id; `kept` the ids of ended ones whose output may still be read
    (if one of those still runs, because the manager ended it, it is stopped).
    """

    wanted: dict[str, Assignment]
    kept: frozenset[str] = frozenset()


class TaskReport(msgspec.Struct, frozen=True):
    """What an agent saw of one task, by its own clock (`at`). `container_id` and `ports` as in TaskStatus."""

    task_id: str
    node_id: str
    state: TaskState
    message: str
    at: datetime
    err: str = ""
    pid: int | None = None
    exit_code: int | None = None
    address: str = ""
    container_id: str = ""
    ports: tuple[PublishedPort, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """One published port of a service, with the (address, port) pairs of its running tasks. `protocol` is tcp or udp;
    `is_host_mode` tells a port that is published on the nodes of its tasks only."""

    service_id: str
    service_name: str
    published_port: int
    targets: tuple[tuple[str, int], ...] = ()
    protocol: str = "tcp"
    is_host_mode: bool = False


class RouteProblem(msgspec.Struct, frozen=True):
    """A published port that can't be served. `reason` is the operating system's, such as "address already in use"."""

    service_id: str
    published_port: int
    reason: str
    protocol: str = "tcp"
