"""The runtime of one node on its own Docker Engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from reconciler.adapters.docker_runtime import container
from reconciler.adapters.docker_runtime.containers import NodeContainers
from reconciler.adapters.docker_runtime.engine import CONFLICT, EngineRefused, NodeEngine
from reconciler.adapters.docker_runtime.files import TaskFiles
from reconciler.adapters.docker_runtime.images import Images
from reconciler.adapters.docker_runtime.networks import BridgeNetworks
from reconciler.adapters.docker_runtime.printed import NANOSECONDS, lines_of
from reconciler.adapters.stopping import StopPolicy
from reconciler.model.assignments import Assignment
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.output import LogLine
from reconciler.model.tables import PublishedPort

UNHEALTHY = "task: non-zero exit (137): dockerexec: unhealthy container"
"""As an engine's swarm tells it: such a container is killed."""

HEALTH_LOOK_S = 0.2
HEALTH_LOOK_MAX_S = 1.0
"""Seconds between looks at the health of a container that has a healthcheck: often while it is young."""

RECOVER_WAIT_S = 10.0
"""Seconds until a node asks again that waits for its engine to list its containers, and until it goes on that waits for
it to end what a predecessor has left."""

LATE_LOOK_S = 10.0
"""Seconds after the start until containers are looked for that an engine has made at the behest of a predecessor that
was gone before it had the answer."""


_log = logging.getLogger(__name__)


class StartedContainer(msgspec.Struct, frozen=True):
    pid: int
    address: str
    container_id: str
    ports: tuple[PublishedPort, ...]


class DockerRuntime:
    """Implements agent.ports.TaskRuntime with containers. `node_id` tells its own from all others of the engine."""

    def __init__(self, node_id: str, engine: NodeEngine) -> None:
        self._node_id = node_id
        self._engine = engine
        self._own = NodeContainers(node_id, engine)
        self._networks = BridgeNetworks(engine)
        self._images = Images(engine)
        self._files = TaskFiles(node_id)
        self._containers: dict[str, str] = {}
        self._checked: set[str] = set()
        """Tasks whose containers have a healthcheck."""
        self._left: dict[str, str] = {}
        self._creating: dict[str, asyncio.Future[str]] = {}
        self._adopting: set[str] = set()
        self._hanging: set[asyncio.Future[None]] = set()
        """Ends of containers that the engine has been asked for, and that nobody waits for."""
        self._late_look: asyncio.Task[None] | None = None

    async def recover(self, wanted: Collection[str], kept: Collection[str]) -> None:
        """Remove the containers of unknown tasks, end those of tasks that are over, and note those of `wanted`."""
        await asyncio.to_thread(self._files.keep_only, frozenset(wanted))
        over = set()
        ending = []
        for found in await self._own.all(within_s=RECOVER_WAIT_S):
            if found.task_id in wanted and found.task_id not in self._left:
                self._left[found.task_id] = found.id
            elif found.task_id in kept and found.task_id not in self._containers:
                self._containers[found.task_id] = found.id
                over.add(found.id)
                ending.append(self._own.kill(found.id))
            else:
                ending.append(self._own.remove(found.id))
        await self._in_a_while([asyncio.ensure_future(one) for one in ending])
        self._late_look = asyncio.ensure_future(self._look_again(over))

    async def _in_a_while(self, ending: Collection[asyncio.Future[None]]) -> None:
        """Wait until containers have ended, but not for ever: one that the engine hangs on would hold up all tasks."""
        if not ending:
            return
        done, hanging = await asyncio.wait(ending, timeout=RECOVER_WAIT_S)
        if hanging:
            _log.warning("The engine takes its time to end containers that nobody needs any more: %d.", len(hanging))
            self._hanging = {*self._hanging, *hanging}
        for one in done:
            one.result()

    async def _look_again(self, over: Collection[str]) -> None:
        """End what an engine has made or started since the first look; `over` are containers that must not run."""
        await asyncio.sleep(LATE_LOOK_S)
        try:
            for found in await self._own.once_it_answers(self._own.all):
                if found.task_id in self._creating or found.task_id in self._adopting:
                    continue
                if found.id != self._containers.get(found.task_id):
                    _log.warning("Container %s of task %s is nobody's, and is removed.", found.id, found.task_id)
                    await self._own.remove(found.id)
                elif found.id in over and found.is_running:
                    _log.warning("Container %s of task %s was started late, and is ended.", found.id, found.task_id)
                    await self._own.kill(found.id)
            await self._networks.sweep(self._own.networks)
        except EngineRefused as error:
            _log.warning("Containers that are nobody's are not looked for: %s", error.problems[0].what)

    async def adopt(self, assignment: Assignment) -> StartedContainer | None:
        """Take over the container of a task, unless it was never started: then it is made anew."""
        found = self._left.pop(assignment.task_id, None)
        if found is None:
            return None
        self._adopting.add(assignment.task_id)
        try:
            return await self._adopt(assignment, found)
        finally:
            self._adopting.discard(assignment.task_id)

    async def _adopt(self, assignment: Assignment, found: str) -> StartedContainer | None:
        self._containers[assignment.task_id] = found  # whatever goes wrong, it is not nobody's
        seen = await self._own.look_at(found)
        if seen is None or dig(seen, "State", "Status") == "created":
            await self._own.remove(found)
            del self._containers[assignment.task_id]
            return None
        self._networks.hold(assignment)
        return self._note(assignment, seen)

    async def prepare(self, assignment: Assignment) -> None:
        """Get the image, make the networks, create the container and give it its files, once the engine answers."""
        await self._own.once_it_answers(lambda: self._prepare(assignment))

    async def _prepare(self, assignment: Assignment) -> None:
        await self._images.get(str(assignment.container.get("Image") or ""), assignment.registry_auth)
        networks = await self._networks.join(assignment)
        # Who gives up waiting, at the end of this node, must not miss a container that the engine makes all the same.
        creating = asyncio.ensure_future(self._create_with_files(assignment, networks))
        self._creating[assignment.task_id] = creating
        creating.add_done_callback(lambda _: self._creating.pop(assignment.task_id, None))
        try:
            container_id = await asyncio.shield(creating)
        except asyncio.CancelledError:
            await asyncio.wait({creating})
            raise
        for name in list(networks)[1:]:
            endpoint = container.endpoint(assignment, name, networks[name])
            await self._engine.post(
                "networks", name, "connect", body={"Container": container_id, "EndpointConfig": endpoint}
            )

    async def _create_with_files(self, assignment: Assignment, networks: dict[str, str | None]) -> str:
        """Create the container; its files are mounted from this host's memory, or copied into it where the engine does
        not see that."""
        if not (assignment.secrets or assignment.configs):
            return await self._create(assignment, container.create_body(assignment, networks))
        mounts = await asyncio.to_thread(self._files.write, assignment)
        if mounts is not None:
            try:
                return await self._create(assignment, container.create_body(assignment, networks, mounts))
            except EngineRefused as refused:
                if "bind source path does not exist" not in refused.problems[0].what:
                    raise
                await asyncio.to_thread(self._files.remove, assignment.task_id)
        container_id = await self._create(assignment, container.create_body(assignment, networks))
        archive = container.files_archive(assignment)
        await self._engine.ask(
            "PUT", "containers", container_id, "archive", query={"path": "/"}, data=archive, kind="application/x-tar"
        )
        return container_id

    async def _create(self, assignment: Assignment, body: JsonObject) -> str:
        query = {"name": assignment.task_name}
        try:
            made = await self._engine.post("containers", "create", body=body, query=query)
        except EngineRefused as refused:
            if refused.status != CONFLICT:
                raise
            # A request whose answer nobody got: a predecessor's, carried out after this one had looked, or our own.
            found = [one.id for one in await self._own.all() if one.task_id == assignment.task_id]
            if not found:
                raise
            await self._own.remove(found[0])
            made = await self._engine.post("containers", "create", body=body, query=query)
        self._containers[assignment.task_id] = container_id = str(made["Id"])
        return container_id

    async def start(self, assignment: Assignment) -> StartedContainer:
        """Start the container, once the engine answers; one that has started already is no error."""
        container_id = self._containers[assignment.task_id]
        try:
            await self._own.once_it_answers(lambda: self._engine.post("containers", container_id, "start"))
        except EngineRefused as refused:
            raise EngineRefused(refused.status, f"starting container failed: {refused.problems[0].what}") from refused
        return self._note(assignment, await self._own.look_at(container_id) or {})

    def _note(self, assignment: Assignment, seen: JsonObject) -> StartedContainer:
        if dig(seen, "State", "Health", "Status") not in (None, "none"):
            self._checked.add(assignment.task_id)
        return _started(seen)

    async def become_fit(self, task_id: str) -> None:
        """Wait until the container is healthy, if it has a healthcheck."""
        container_id = self._containers[task_id]
        while task_id in self._checked:
            health = dig(await self._own.look_at(container_id) or {}, "State", "Health", "Status")
            if health == "unhealthy":
                raise _unhealthy()
            if health != "starting":
                return
            await asyncio.sleep(HEALTH_LOOK_S)

    async def wait(self, task_id: str) -> int:
        """Return the exit code once the container has ended. Raises SwarmctlError when it is unhealthy meanwhile."""
        container_id = self._containers[task_id]
        if task_id in self._checked:
            code = await self._end_in_health(container_id)
        else:
            code = await self._own.end_of(container_id)
        self._files.remove(task_id)
        return code

    async def _end_in_health(self, container_id: str) -> int:
        ending = asyncio.ensure_future(self._own.end_of(container_id))
        ailing = asyncio.ensure_future(self._wait_unhealthy(container_id))
        try:
            await asyncio.wait({ending, ailing}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
            raise _unhealthy()
        finally:
            for waiting in (ending, ailing):
                waiting.cancel()

    async def _wait_unhealthy(self, container_id: str) -> None:
        """Return when the container is unhealthy."""
        pause_s = HEALTH_LOOK_S
        while True:
            with contextlib.suppress(EngineRefused):
                health = dig(await self._own.inspect(container_id) or {}, "State", "Health", "Status")
                if health == "unhealthy":
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, HEALTH_LOOK_MAX_S)

    async def stop(self, task_id: str, policy: StopPolicy) -> None:
        """Send the stop signal, and SIGKILL after the grace period."""
        container_id = self._containers.get(task_id)
        if container_id is None:
            return
        await self._own.quietly("POST", "containers", container_id, "kill", signal=policy.signal)
        try:
            async with asyncio.timeout(policy.grace_s):
                await self._own.end_of(container_id)
        except TimeoutError:
            await self._own.kill(container_id)

    async def abandon(self, task_id: str) -> None:
        """Kill what runs of the task, and wait until it has ended; its output stays with its container."""
        container_id = self._containers.get(task_id)
        if container_id is not None:
            await self._own.kill(container_id)
        self._files.remove(task_id)

    async def forget(self, task_id: str) -> None:
        """Remove the container with its anonymous volumes, and the networks that nobody else needs."""
        container_id = self._containers.pop(task_id, None)
        self._checked.discard(task_id)
        if container_id is not None:
            await self._own.remove(container_id)
        self._files.remove(task_id)
        await self._networks.leave(task_id)

    async def output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines that the task printed, oldest first."""
        container_id = self._containers.get(task_id)
        if container_id is None:
            return ()
        since = f"{since_ns // NANOSECONDS}.{since_ns % NANOSECONDS:09d}"
        query = {"stdout": "1", "stderr": "1", "timestamps": "1", "details": "1"}
        query |= {"tail": str(tail_lines), "since": since}
        try:
            content = await self._engine.ask("GET", "containers", container_id, "logs", query=query)
        except EngineRefused:
            return ()
        return tuple(line for line in lines_of(content) if line.at_ns > since_ns)

    def annotate(self, task_id: str, line: str) -> None:
        """Log a line: an engine lets nobody write into a container's output."""
        _log.warning("task %s: %s", task_id, line)

    async def close(self) -> None:
        """Remove every container of this node."""
        await self._end_late_look()
        if self._creating:
            await asyncio.wait(self._creating.values())
        try:
            own = await self._own.all()
            await asyncio.gather(*(self._own.remove(one.id) for one in own))
        except EngineRefused as error:
            _log.warning("Containers that nobody needs any more stay: %s", error.problems[0].what)
        await self._networks.close(self._own.networks)
        self._containers.clear()
        await asyncio.to_thread(self._files.close)

    async def let_go(self) -> None:
        """Leave every container as it is, for a successor to adopt."""
        await self._end_late_look()

    async def _end_late_look(self) -> None:
        late = {*self._hanging, *([self._late_look] if self._late_look is not None else ())}
        self._hanging = set()
        for one in late:
            one.cancel()
        if late:
            await asyncio.wait(late)


def _unhealthy() -> SwarmctlError:
    return SwarmctlError(ErrorCode.EMBEDDED_FAILED, UNHEALTHY)


def _started(seen: Any) -> StartedContainer:
    networks = dig(seen, "NetworkSettings", "Networks") or {}
    addresses = [one.get("IPAddress") for one in networks.values() if one.get("IPAddress")]
    return StartedContainer(
        int(dig(seen, "State", "Pid") or 0),
        addresses[0] if addresses else "",
        str(seen.get("Id") or ""),
        tuple(_published(dig(seen, "NetworkSettings", "Ports") or {})),
    )


def _published(ports: JsonObject) -> Iterator[PublishedPort]:
    """Return what an engine publishes of a container, once for each address family, as it tells it."""
    for port, bindings in ports.items():
        target, _, protocol = port.partition("/")
        for binding in bindings or ():
            yield protocol, int(target), int(binding["HostPort"])
