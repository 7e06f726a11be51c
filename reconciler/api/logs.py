"""What tasks have printed, in the frames that clients take apart into stdout and stderr."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from reconciler.api import selection
from reconciler.api.faults import Refused
from reconciler.api.node import swarm_of
from reconciler.api.ports import Cluster, LocalNode
from reconciler.api.queries import TAIL_LINES_MAX, flag, tail_of
from reconciler.api.streams import OpenStreams
from reconciler.model.objects import Kind
from reconciler.model.tasks import ObservedTask, TaskState

FRAME_HEADER = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2
FOLLOW_POLL_S = 0.5
"""How often a log that is followed is looked at again: the port has no stream of lines."""

FRAMES = "application/vnd.docker.multiplexed-stream"


@dataclass(frozen=True, slots=True)
class Logs:
    """Handlers of logs."""

    node: LocalNode
    streams: OpenStreams

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/tasks/{id}/logs", self.task), web.get("/services/{id}/logs", self.service)]

    async def task(self, request: web.Request) -> web.StreamResponse:
        cluster = swarm_of(self.node)
        task = selection.find_task(await cluster.tasks(), request.match_info["id"])
        return await self._answer(request, cluster, lambda: _one(cluster, task))

    async def service(self, request: web.Request) -> web.StreamResponse:
        cluster = swarm_of(self.node)
        service = await cluster.found(Kind.SERVICE, request.match_info["id"])
        return await self._answer(request, cluster, lambda: cluster.tasks(service_id=service.id))

    async def _answer(
        self, request: web.Request, cluster: Cluster, tasks: Callable[[], Awaitable[Sequence[ObservedTask]]]
    ) -> web.StreamResponse:
        """Answer with what the tasks have printed. The port does not tell stderr from stdout, nor when a line came."""
        if not flag(request, "stdout") and not flag(request, "stderr"):
            raise Refused(400, "must specify at least one of 'stdout' or 'stderr'")
        number = STDOUT if flag(request, "stdout") else STDERR
        follower = _Follower(cluster, number, flag(request, "details"), tail_of(request))
        if not flag(request, "follow"):
            return web.Response(body=await follower.frames(await tasks()), content_type=FRAMES)
        self.streams.check_room()
        response = web.StreamResponse(headers={"Content-Type": FRAMES})
        response.enable_chunked_encoding()
        return await self.streams.run(response, _follow(request, response, follower, tasks))


async def _follow(
    request: web.Request,
    response: web.StreamResponse,
    follower: _Follower,
    tasks: Callable[[], Awaitable[Sequence[ObservedTask]]],
) -> None:
    await response.prepare(request)
    while found := await tasks():
        frames = await follower.frames(found)
        if frames:
            await response.write(frames)
        elif all(task.state > TaskState.RUNNING and task.desired_state > TaskState.RUNNING for task in found):
            return  # nothing of it will ever print again
        await asyncio.sleep(FOLLOW_POLL_S)


@dataclass(slots=True)
class _Follower:
    """Reads logs again and again, and hands on what is new. `seen` are lines by task id."""

    cluster: Cluster
    stream: int
    details: bool
    tail_lines: int
    seen: dict[str, int] = field(default_factory=dict)

    async def frames(self, tasks: Sequence[ObservedTask]) -> bytes:
        frames = bytearray()
        for task in tasks:
            first = task.id not in self.seen
            lines = await self.cluster.task_log(task.id, tail_lines=TAIL_LINES_MAX)
            since = max(len(lines) - self.tail_lines, 0) if first else self.seen[task.id]
            new = lines[since:]
            self.seen[task.id] = len(lines)
            for line in new:
                content = f"{_details(task) if self.details else ''}{line}\n".encode()
                frames += FRAME_HEADER.pack(self.stream, len(content)) + content
        return bytes(frames)


def _details(task: ObservedTask) -> str:
    """Return what the CLI takes a line's task and node from."""
    named = {"node": task.node_id, "service": task.service_id, "task": task.id}
    return ",".join(f"com.docker.swarm.{noun}.id={value}" for noun, value in named.items()) + " "


async def _one(cluster: Cluster, task: ObservedTask) -> Sequence[ObservedTask]:
    return [one for one in await cluster.tasks(service_id=task.service_id) if one.id == task.id]
