"""What tasks have printed, in the frames that clients take apart into stdout and stderr.

A frame is one line: its time, what the client takes its task and node from, and the line itself, the first two if the
client asks for them. Source: moby's daemon/cluster/services.go (ServiceLogs) and httputils.WriteLogStream.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from reconciler.api import selection
from reconciler.api.faults import Refused
from reconciler.api.node import swarm_of
from reconciler.api.ports import Cluster, LocalNode
from reconciler.api.queries import flag, since_of, tail_of
from reconciler.api.streams import OpenStreams
from reconciler.model.json import dig
from reconciler.model.objects import Kind
from reconciler.model.output import STDERR, STDOUT, LogLine
from reconciler.model.tasks import ObservedTask

FRAME_HEADER = struct.Struct(">BxxxL")
FOLLOW_POLL_S = 0.5
"""How often a log that is followed is looked at again: the port has no stream of lines."""

NEW_LINES_MAX = 10_000
"""Of one task at each of these looks."""

FRAMES = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
"""Of a terminal's output, which has no frames; and of all, for clients that know no other (before API 1.42)."""
FRAMES_SINCE = (1, 42)

Tasks = Callable[[], Awaitable[Sequence[ObservedTask] | None]]
"""Returns the tasks whose lines are asked for; None once what they belong to is gone, and they are too."""


class Logs(msgspec.Struct, frozen=True):
    """Handlers of logs."""

    node: LocalNode
    streams: OpenStreams

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/tasks/{id}/logs", self.task), web.get("/services/{id}/logs", self.service)]

    async def task(self, request: web.Request) -> web.StreamResponse:
        wish = _wish(request)
        cluster = swarm_of(self.node)
        tasks, services = await cluster.tasks(), await cluster.listed(Kind.SERVICE)
        task = selection.find_task(tasks, services, request.match_info["id"])
        return await self._answer(request, _Reader(cluster, wish), lambda: _one(cluster, task))

    async def service(self, request: web.Request) -> web.StreamResponse:
        wish = _wish(request)
        cluster = swarm_of(self.node)
        service = await cluster.found(Kind.SERVICE, request.match_info["id"])
        return await self._answer(request, _Reader(cluster, wish), lambda: _of_service(cluster, service.id))

    async def _answer(self, request: web.Request, reader: _Reader, tasks: Tasks) -> web.StreamResponse:
        found = await tasks() or ()
        reader.is_terminal = any(dig(task.raw, "Spec", "ContainerSpec", "TTY") for task in found)
        kind = RAW if reader.is_terminal or not _knows_frames(request) else FRAMES
        if not flag(request, "follow"):
            return web.Response(body=await reader.new(found), content_type=kind)
        self.streams.check_room()
        response = web.StreamResponse(headers={"Content-Type": kind})
        response.enable_chunked_encoding()
        return await self.streams.run(response, _follow(request, response, reader, tasks))


async def _follow(request: web.Request, response: web.StreamResponse, reader: _Reader, tasks: Tasks) -> None:
    """Hand on lines as they come, those of tasks to come too: as an engine, until the client has heard enough."""
    await response.prepare(request)
    while (found := await tasks()) is not None:
        if printed := await reader.new(found):
            await response.write(printed)
        await asyncio.sleep(FOLLOW_POLL_S)


class _Wish(msgspec.Struct, frozen=True):
    """What a client wants of the lines: which, and what stands before them. `tail_lines` are of each task."""

    streams: frozenset[int]
    tail_lines: int
    since_ns: int
    timestamps: bool
    details: bool


def _wish(request: web.Request) -> _Wish:
    wanted = [stream for stream, name in ((STDOUT, "stdout"), (STDERR, "stderr")) if flag(request, name)]
    if not wanted:
        raise Refused(400, "Bad parameters: you must choose at least one stream")
    since_ns, tail_lines = since_of(request), tail_of(request)
    return _Wish(frozenset(wanted), tail_lines, since_ns, flag(request, "timestamps"), flag(request, "details"))


@dataclass(slots=True)
class _Reader:
    """Reads logs again and again, and hands on what is new. `seen_ns` is each task's last line, by task id."""

    cluster: Cluster
    wish: _Wish
    is_terminal: bool = False
    seen_ns: dict[str, int] = field(default_factory=dict)

    async def new(self, tasks: Sequence[ObservedTask]) -> bytes:
        """Return what has been printed since the last call, by age."""
        found: list[tuple[int, bytes]] = []
        for task in tasks:
            for line in await self._lines(task):
                self.seen_ns[task.id] = line.at_ns
                if line.stream in self.wish.streams:
                    found.append((line.at_ns, self._shown(task, line)))
        found.sort(key=lambda one: one[0])
        return b"".join(shown for _, shown in found)

    async def _lines(self, task: ObservedTask) -> Sequence[LogLine]:
        known = self.seen_ns.get(task.id)
        since_ns = self.seen_ns.setdefault(task.id, self.wish.since_ns)
        if known is None and self.wish.tail_lines == 0:
            for last in await self.cluster.task_output(task.id, tail_lines=1, since_ns=since_ns):
                self.seen_ns[task.id] = last.at_ns  # what is followed begins after it
            return ()
        tail_lines = self.wish.tail_lines if known is None else NEW_LINES_MAX
        return await self.cluster.task_output(task.id, tail_lines=tail_lines, since_ns=since_ns)

    def _shown(self, task: ObservedTask, line: LogLine) -> bytes:
        before = f"{_moment(line.at_ns)} " if self.wish.timestamps else ""
        content = f"{before}{_details(task, line) if self.wish.details else ''}".encode() + line.text + b"\n"
        return self._framed(line.stream, content)

    def _framed(self, stream: int, content: bytes) -> bytes:
        return content if self.is_terminal else FRAME_HEADER.pack(stream, len(content)) + content


def _moment(at_ns: int) -> str:
    """Return a moment as Go's RFC 3339 with nine decimals."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def _details(task: ObservedTask, line: LogLine) -> str:
    """Return what the CLI takes a line's task and node from, and what the log's driver has kept with the line."""
    named = {"node": task.node_id, "service": task.service_id, "task": task.id}
    kept = dict(one.partition("=")[::2] for one in line.details.split(",") if one)
    kept |= {f"com.docker.swarm.{noun}.id": value for noun, value in named.items()}
    return ",".join(f"{key}={value}" for key, value in sorted(kept.items())) + " "


def _knows_frames(request: web.Request) -> bool:
    asked = request.match_info.get("version")
    return asked is None or tuple(map(int, asked.split("."))) >= FRAMES_SINCE


async def _of_service(cluster: Cluster, service_id: str) -> Sequence[ObservedTask] | None:
    tasks = await cluster.tasks(service_id=service_id)
    if tasks or any(one.id == service_id for one in await cluster.listed(Kind.SERVICE)):
        return tasks
    return None


async def _one(cluster: Cluster, task: ObservedTask) -> Sequence[ObservedTask] | None:
    return [one for one in await cluster.tasks(service_id=task.service_id) if one.id == task.id] or None
