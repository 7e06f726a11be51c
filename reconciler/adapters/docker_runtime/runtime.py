"""The runtime of one node on its own Docker Engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.adapters.docker_runtime import container
from reconciler.adapters.docker_runtime.engine import NOT_FOUND, EngineRefused, NodeEngine
from reconciler.model.assignments import Assignment, AttachedNetwork
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig

LOST_EXIT_CODE = 137
"""Of a container that somebody has removed."""

HEALTH_LOOK_S = 0.2
"""Seconds between looks at the health of a container that has a healthcheck."""

RETRY_S = 1.0
"""Seconds until an engine that does not answer is asked again for a container's end."""

_FRAME = struct.Struct(">BxxxL")
_LOCAL_DRIVERS = ("bridge", "host", "none")

_log = logging.getLogger(__name__)


class StopPolicy(Protocol):
    @property
    def signal(self) -> str: ...

    @property
    def grace_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class StartedContainer:
    pid: int
    address: str


class DockerRuntime:
    """Implements agent.ports.TaskRuntime with containers. `node_id` tells its own from all others of the engine."""

    def __init__(self, node_id: str, engine: NodeEngine) -> None:
        self._node_id = node_id
        self._engine = engine
        self._containers: dict[str, str] = {}
        self._left: dict[str, str] = {}
        self._creating: set[asyncio.Future[str]] = set()
        self._making_networks = asyncio.Lock()

    async def recover(self, wanted: Collection[str], kept: Collection[str]) -> None:
        """Remove the containers of unknown tasks, stop those of tasks that are over, and note those of `wanted`."""
        for task_id, found in (await self._own()).items():
            if task_id in wanted:
                self._left[task_id] = found
            elif task_id in kept:
                self._containers[task_id] = found
                await self._quietly("POST", "containers", found, "kill")
            else:
                await self._remove(found)

    async def _own(self) -> dict[str, str]:
        """Return {task id: container id} of this node's containers."""
        filters = {"label": [f"{container.NODE_LABEL}={self._node_id}"]}
        listed = await self._engine.get("containers", "json", query={"all": "1", "filters": json.dumps(filters)})
        return {one["Labels"].get(container.TASK_LABEL, ""): one["Id"] for one in listed or ()}

    async def adopt(self, assignment: Assignment) -> StartedContainer | None:
        """Take over the container of a task, unless it was never started: then it is made anew."""
        found = self._left.pop(assignment.task_id, None)
        if found is None:
            return None
        seen = await self._inspect(found)
        if seen is None or dig(seen, "State", "Status") == "created":
            await self._remove(found)
            return None
        self._containers[assignment.task_id] = found
        return _started(seen)

    async def prepare(self, assignment: Assignment) -> None:
        """Get the image, make the networks, create the container and copy its files into it."""
        await self._get_image(str(assignment.container.get("Image") or ""))
        networks = await self._networks(assignment)
        body = container.create_body(assignment, networks)
        # Who gives up waiting, at the end of this node, must not miss a container that the engine makes all the same.
        creating = asyncio.ensure_future(self._create(assignment, body))
        self._creating.add(creating)
        creating.add_done_callback(self._creating.discard)
        container_id = await asyncio.shield(creating)
        for name in list(networks)[1:]:
            endpoint = container.endpoint(assignment, networks[name])
            await self._engine.post(
                "networks", name, "connect", body={"Container": container_id, "EndpointConfig": endpoint}
            )
        archive = container.files_archive(assignment)
        if archive is not None:
            await self._engine.ask(
                "PUT",
                "containers",
                container_id,
                "archive",
                query={"path": "/"},
                data=archive,
                kind="application/x-tar",
            )

    async def _create(self, assignment: Assignment, body: JsonObject) -> str:
        made = await self._engine.post("containers", "create", body=body, query={"name": assignment.task_name})
        self._containers[assignment.task_id] = container_id = str(made["Id"])
        return container_id

    async def _get_image(self, image: str) -> None:
        """Pull an image that is not there. What can't be pulled is told as the engine tells it."""
        try:
            await self._engine.get("images", image, "json")
        except EngineRefused as missing:
            if missing.status != NOT_FOUND:
                raise
            name, tag = _name_and_tag(image)
            with contextlib.suppress(EngineRefused):
                await self._engine.post("images", "create", query={"fromImage": name, "tag": tag}, waits=True)
            try:
                await self._engine.get("images", image, "json")
            except EngineRefused:
                raise EngineRefused(NOT_FOUND, f"No such image: {image}") from missing

    async def _networks(self, assignment: Assignment) -> dict[str, str | None]:
        """Return the engine's networks for a task, made where they are missing, with its address in each."""
        found: dict[str, str | None] = {}
        for network in assignment.networks:
            if network.driver in _LOCAL_DRIVERS:
                found[network.driver] = None
            elif not network.ingress:
                has_subnet = await self._make_network(network)
                found[network.name] = network.address if has_subnet and network.address else None
        return found

    async def _make_network(self, network: AttachedNetwork) -> bool:
        """Make a network's bridge, unless it is there; return whether it has the swarm's subnet."""
        async with self._making_networks:
            try:
                seen = await self._engine.get("networks", network.name)
            except EngineRefused as error:
                if error.status != NOT_FOUND:
                    raise
                return await self._new_network(network)
            pools = dig(seen, "IPAM", "Config") or ()
            return any(pool.get("Subnet") == network.subnet for pool in pools)

    async def _new_network(self, network: AttachedNetwork) -> bool:
        body = container.network_body(network)
        try:
            await self._engine.post("networks", "create", body=body)
        except EngineRefused as error:
            if "IPAM" not in body:
                raise
            _log.warning("Network %s gets another subnet on this host: %s", network.name, error.problems[0].what)
            del body["IPAM"]
            await self._engine.post("networks", "create", body=body)
            return False
        return True

    async def start(self, assignment: Assignment) -> StartedContainer:
        """Start the container."""
        container_id = self._containers[assignment.task_id]
        await self._engine.post("containers", container_id, "start")
        return _started(await self._inspect(container_id) or {})

    async def become_fit(self, task_id: str) -> None:
        """Wait until the container is healthy, if it has a healthcheck."""
        container_id = self._containers[task_id]
        while True:
            health = dig(await self._inspect(container_id) or {}, "State", "Health", "Status")
            if health == "unhealthy":
                raise _unhealthy()
            if health != "starting":
                return
            await asyncio.sleep(HEALTH_LOOK_S)

    async def wait(self, task_id: str) -> int:
        """Return the exit code once the container has ended. Raises SwarmctlError when it is unhealthy meanwhile."""
        container_id = self._containers[task_id]
        ending = asyncio.ensure_future(self._end_of(container_id))
        ailing = asyncio.ensure_future(self._wait_unhealthy(container_id))
        try:
            await asyncio.wait({ending, ailing}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
            raise _unhealthy()
        finally:
            for waiting in (ending, ailing):
                waiting.cancel()

    async def _end_of(self, container_id: str) -> int:
        while True:
            try:
                answer = await self._engine.post("containers", container_id, "wait", waits=True)
                return int(answer["StatusCode"])
            except EngineRefused as error:
                if error.status == NOT_FOUND:
                    return LOST_EXIT_CODE
                await asyncio.sleep(RETRY_S)

    async def _wait_unhealthy(self, container_id: str) -> None:
        """Return when the container is unhealthy; never for one without a healthcheck."""
        while True:
            with contextlib.suppress(EngineRefused):
                health = dig(await self._inspect(container_id) or {}, "State", "Health", "Status")
                if health == "unhealthy":
                    return
                if health in (None, "none"):
                    await asyncio.Event().wait()
            await asyncio.sleep(HEALTH_LOOK_S)

    async def stop(self, task_id: str, policy: StopPolicy) -> None:
        """Send the stop signal, and SIGKILL after the grace period."""
        container_id = self._containers.get(task_id)
        if container_id is None:
            return
        await self._quietly("POST", "containers", container_id, "kill", signal=policy.signal)
        try:
            async with asyncio.timeout(policy.grace_s):
                await self._end_of(container_id)
        except TimeoutError:
            await self._quietly("POST", "containers", container_id, "kill")
            await self._end_of(container_id)

    async def abandon(self, task_id: str) -> None:
        """Kill what runs of the task, and wait until it has ended; its output stays with its container."""
        container_id = self._containers.get(task_id)
        if container_id is not None:
            await self._quietly("POST", "containers", container_id, "kill")
            await self._end_of(container_id)

    async def forget(self, task_id: str) -> None:
        """Remove the container with its anonymous volumes."""
        container_id = self._containers.pop(task_id, None)
        if container_id is not None:
            await self._remove(container_id)

    async def output(self, task_id: str, tail_lines: int) -> tuple[str, ...]:
        """Return the last lines that the task printed, oldest first."""
        container_id = self._containers.get(task_id)
        if container_id is None:
            return ()
        query = {"stdout": "1", "stderr": "1", "tail": str(tail_lines)}
        try:
            content = await self._engine.ask("GET", "containers", container_id, "logs", query=query)
        except EngineRefused:
            return ()
        return tuple(_demultiplexed(content).decode("utf-8", "replace").splitlines())

    def annotate(self, task_id: str, line: str) -> None:
        """Log a line: an engine lets nobody write into a container's output."""
        _log.warning("task %s: %s", task_id, line)

    async def close(self) -> None:
        """Remove every container of this node."""
        if self._creating:
            await asyncio.wait(self._creating)
        with contextlib.suppress(SwarmctlError):
            for container_id in (await self._own()).values():
                await self._remove(container_id)
        self._containers.clear()

    async def let_go(self) -> None:
        """Leave every container as it is, for a successor to adopt."""

    async def _inspect(self, container_id: str) -> JsonObject | None:
        try:
            seen: JsonObject = await self._engine.get("containers", container_id, "json")
        except EngineRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return seen

    async def _remove(self, container_id: str) -> None:
        await self._quietly("DELETE", "containers", container_id, force="1", v="1")

    async def _quietly(self, method: str, *steps: str, **query: str) -> None:
        """Ask for what may be so already, or be impossible by now."""
        try:
            await self._engine.ask(method, *steps, query=query)
        except EngineRefused as error:
            _log.debug("%s %s: %s", method, "/".join(steps), error.problems[0].what)


def _unhealthy() -> SwarmctlError:
    return SwarmctlError(ErrorCode.EMBEDDED_FAILED, "unhealthy container")


def _started(seen: Any) -> StartedContainer:
    networks = dig(seen, "NetworkSettings", "Networks") or {}
    addresses = [one.get("IPAddress") for one in networks.values() if one.get("IPAddress")]
    return StartedContainer(int(dig(seen, "State", "Pid") or 0), addresses[0] if addresses else "")


def _name_and_tag(image: str) -> tuple[str, str]:
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, separator, tag = image.rpartition(":")
    return (head, tag) if separator and "/" not in tag else (image, "latest")


def _demultiplexed(content: bytes) -> bytes:
    """Return what both streams have printed, in order; a terminal's log has no frames."""
    parts, at = [], 0
    while at + _FRAME.size <= len(content):
        stream, length = _FRAME.unpack_from(content, at)
        if stream > 2 or content[at + 1 : at + 4] != b"\0\0\0":
            return content
        parts.append(content[at + _FRAME.size : at + _FRAME.size + length])
        at += _FRAME.size + length
    return b"".join(parts)
