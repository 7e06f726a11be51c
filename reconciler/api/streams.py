"""Answers that have no end, or come in frames: events and logs."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field

from aiohttp import web

from reconciler.api import selection
from reconciler.api.faults import Refused
from reconciler.api.ports import Cluster
from reconciler.api.queries import Filters, filters_of, flag, tail_of
from reconciler.model.errors import SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.tasks import ObservedTask

STREAMS_MAX = 64
"""Event streams open at once; one more is refused."""
FRAME_HEADER = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2
EVENT_KEYS = frozenset({"config", "event", "label", "network", "node", "scope", "secret", "service", "type"})


@dataclass(frozen=True, slots=True)
class Streams:
    """Handlers of events and logs. `open` holds the tasks of event streams, to be ended when the server stops."""

    cluster: Cluster
    open: set[asyncio.Task[None]] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/events", self.events),
            web.get("/tasks/{id}/logs", self.task_log),
            web.get("/services/{id}/logs", self.service_log),
        ]

    async def stop(self, _: web.Application) -> None:
        """End all event streams."""
        for stream in tuple(self.open):
            stream.cancel()
        await asyncio.gather(*self.open, return_exceptions=True)

    async def events(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, EVENT_KEYS)
        if len(self.open) >= STREAMS_MAX:
            raise Refused(503, f"there are {STREAMS_MAX} event streams already")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        copying = asyncio.create_task(self._copy(request, response, filters))
        self.open.add(copying)
        copying.add_done_callback(self.open.discard)
        try:
            await copying
        except ConnectionError:
            pass  # the client has gone
        except SwarmctlError:
            if not response.prepared:
                raise
        except asyncio.CancelledError:
            handler = asyncio.current_task()
            if handler is not None and handler.cancelling():
                raise  # the client has gone; else it was stop(), and the answer ends in good order
        return response

    async def _copy(self, request: web.Request, response: web.StreamResponse, filters: Filters) -> None:
        stream = self.cluster.events()
        waiting = asyncio.ensure_future(anext(stream))
        try:
            await asyncio.sleep(0)  # let the swarm's side begin, so that the header means: listening
            await response.prepare(request)
            while True:
                event = await waiting
                if _passes(event, filters):
                    await response.write(json.dumps(_message(event)).encode() + b"\n")
                waiting = asyncio.ensure_future(anext(stream))
        except StopAsyncIteration:
            return
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    async def task_log(self, request: web.Request) -> web.Response:
        task = selection.find_task((await self.cluster.observe()).tasks, request.match_info["id"])
        return await self._log(request, [task])

    async def service_log(self, request: web.Request) -> web.Response:
        actual = await self.cluster.observe()
        service = selection.find(actual.services, Kind.SERVICE, request.match_info["id"])
        return await self._log(request, list(actual.tasks_of(service.id)))

    async def _log(self, request: web.Request, tasks: list[ObservedTask]) -> web.Response:
        """Answer with what the tasks have printed so far. The port does not tell stderr from stdout."""
        if not flag(request, "stdout") and not flag(request, "stderr"):
            raise Refused(400, "must specify at least one of 'stdout' or 'stderr'")
        stream = STDOUT if flag(request, "stdout") else STDERR
        frames = bytearray()
        for task in tasks:
            details = _details(task) if flag(request, "details") else ""
            for line in await self.cluster.task_log(task.id, tail_lines=tail_of(request)):
                content = f"{details}{line}\n".encode()
                frames += FRAME_HEADER.pack(stream, len(content)) + content
        return web.Response(body=bytes(frames), content_type="application/vnd.docker.multiplexed-stream")


def _details(task: ObservedTask) -> str:
    """Return what the CLI takes a line's task and node from."""
    named = {"node": task.node_id, "service": task.service_id, "task": task.id}
    return ",".join(f"com.docker.swarm.{noun}.id={value}" for noun, value in named.items()) + " "


def _passes(event: ClusterEvent, filters: Filters) -> bool:
    offered = {"type": {event.kind}, "event": {event.action}, "scope": {"swarm"}}
    offered[event.kind] = {event.object_id, event.name}
    return all(offered.get(key, set()) & set(values) for key, values in filters.items())


def _message(event: ClusterEvent) -> JsonObject:
    return {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.object_id, "Attributes": {"name": event.name}},
        "scope": "swarm",
        "time": int(event.at),
        "timeNano": int(event.at * 1_000_000_000),
    }
