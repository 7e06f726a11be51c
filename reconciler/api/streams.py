"""Answers that have no end: events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine, Sequence

import msgspec
from aiohttp import web

from reconciler.api.faults import Refused
from reconciler.api.passthrough import Engine
from reconciler.api.ports import Cluster, LocalNode
from reconciler.api.queries import Filters, filters_of, instant_of
from reconciler.api.selection import has_label
from reconciler.model.errors import SwarmctlError
from reconciler.model.events import ClusterEvent
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind

STREAMS_MAX = 64
"""Streams open at once; one more is refused."""
SCOPE = "swarm"
NAMED = frozenset({"config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume"})
"""Filters by the name or id of an object."""
SWARM_LOOK_S = 0.25
"""How often a stream of events looks whether the node has come into a swarm."""
LOCAL_END_WAIT_S = 5.0
"""How long the end of the engine's events is waited for, once those of the swarm have ended."""


class OpenStreams(msgspec.Struct, frozen=True):
    """The answers that go on, to be ended when the server stops."""

    open: set[asyncio.Task[None]] = msgspec.field(default_factory=set)

    async def stop(self, _: web.Application) -> None:
        """End all streams."""
        for stream in tuple(self.open):
            stream.cancel()
        await asyncio.gather(*self.open, return_exceptions=True)

    def check_room(self) -> None:
        """Refuse one stream too many."""
        if len(self.open) >= STREAMS_MAX:
            raise Refused(503, f"there are {STREAMS_MAX} streams already")

    async def run(self, response: web.StreamResponse, copy: Coroutine[None, None, None]) -> web.StreamResponse:
        """Let `copy` write into `response` until it is done, the client has gone, or the server stops."""
        copying = asyncio.create_task(copy)
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
                copying.cancel()
                await asyncio.gather(copying, return_exceptions=True)
                raise  # the client has gone; else it was stop(), and the answer ends in good order
        return response


class Events(msgspec.Struct, frozen=True):
    """Handlers of events."""

    node: LocalNode
    streams: OpenStreams
    engine: Engine

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell changes as they come; `since` begins with those remembered, `until` ends the stream at that instant."""
        wish = _Wish(filters_of(request, None), instant_of(request, "since"), instant_of(request, "until"), time.time())
        if wish.since is not None and wish.until is not None and wish.since > wish.until:
            since, until = request.query["since"], request.query["until"]
            raise Refused(400, f"`since` time ({since}) cannot be after `until` time ({until})")
        self.streams.check_room()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        return await self.streams.run(response, self._copy(request, response, wish))

    async def _copy(self, request: web.Request, response: web.StreamResponse, wish: _Wish) -> None:
        begun = asyncio.Event()
        local = asyncio.create_task(self._tell_local(request, response, begun))
        try:
            while await self._tell_swarm(request, response, wish, begun) and wish.remaining_s() != 0.0:
                pass
            await asyncio.wait((local,), timeout=LOCAL_END_WAIT_S)
        finally:
            local.cancel()
            await asyncio.gather(local, return_exceptions=True)

    async def _tell_swarm(
        self, request: web.Request, response: web.StreamResponse, wish: _Wish, begun: asyncio.Event
    ) -> bool:
        """Tell what happens in the swarm until it ends, or wait a little for one; return whether to go on.

        A daemon's events go on when its swarm has ended. Raises SwarmctlError where one that goes on tells no more.
        """
        standing = self.node.standing()
        cluster, past = standing.cluster, () if begun.is_set() else standing.past_events
        if cluster is None:
            if not begun.is_set():
                await response.prepare(request)
                begun.set()
                await _tell_past(response, past, wish)
            remaining_s = wish.remaining_s()
            await asyncio.sleep(SWARM_LOOK_S if remaining_s is None else min(remaining_s, SWARM_LOOK_S))
            return True
        try:
            await _follow(cluster, past, request, response, wish, begun)
        except SwarmctlError:
            if self.node.standing().cluster is cluster:
                raise
        return self.node.standing().cluster is not cluster

    async def _tell_local(self, request: web.Request, response: web.StreamResponse, begun: asyncio.Event) -> None:
        """Tell what the node's own engine does, as far as it has one: its containers, images, volumes."""
        await begun.wait()
        if self.engine.is_there:
            async for line in self.engine.lines("/events", request.query):
                await response.write(line)


class _Wish(msgspec.Struct, frozen=True):
    """Moments are seconds since the epoch; `since` and `until` are None when they were not given."""

    filters: Filters
    since: float | None
    until: float | None
    asked_at: float

    def remaining_s(self) -> float | None:
        """Return how many seconds there are until `until`; None when there is no end."""
        return None if self.until is None else max(self.until - time.time(), 0.0)

    def reaches_back_to(self, event: ClusterEvent, *, is_late: bool) -> bool:
        """Return whether an event of the past is asked for.

        Where neither a beginning nor an end is given, none; but all since the request, if only now (`is_late`) there
        is a swarm to follow.
        """
        if self.since is not None:
            return event.at >= self.since
        return self.until is not None or (is_late and event.at >= self.asked_at)

    def takes(self, event: ClusterEvent) -> bool:
        if event.kind == Kind.SWARM or (self.until is not None and event.at > self.until):
            return False  # an engine tells nothing of the swarm's settings
        return all(_matches(event, key, values) for key, values in self.filters.items())


def _matches(event: ClusterEvent, key: str, values: Sequence[str]) -> bool:
    """Return whether an event passes one filter; a key that there is not lets all pass.

    A kind of object as the key means the beginning of a name or an id, of whatever kind the event's object is.
    (moby daemon/events/filter.go)
    """
    exact = {"type": event.kind, "event": event.action, "scope": SCOPE}
    if key in exact:
        return exact[key] in values
    if key == "label":
        return all(has_label(_attributes(event), value) for value in values)
    if key == "image":
        return event.object_id in values
    if key in NAMED:
        return any(event.object_id.startswith(value) or event.name.startswith(value) for value in values)
    return True


async def _follow(
    cluster: Cluster,
    earlier: Sequence[ClusterEvent],
    request: web.Request,
    response: web.StreamResponse,
    wish: _Wish,
    begun: asyncio.Event,
) -> None:
    stream: AsyncIterator[ClusterEvent] = cluster.events()
    waiting = asyncio.ensure_future(anext(stream))
    try:
        await asyncio.sleep(0)  # let the swarm's side begin, so that the header means: listening
        is_late = begun.is_set()
        past = [*earlier, *cluster.recent_events()]
        if not begun.is_set():
            await response.prepare(request)
            begun.set()
        await _tell_past(response, past, wish, is_late=is_late)
        async with asyncio.timeout(wish.remaining_s()):
            while True:
                await _tell(response, await waiting, wish)
                waiting = asyncio.ensure_future(anext(stream))
    except (StopAsyncIteration, TimeoutError):
        return
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def _tell_past(
    response: web.StreamResponse, past: Sequence[ClusterEvent], wish: _Wish, *, is_late: bool = False
) -> None:
    for event in past:
        if wish.reaches_back_to(event, is_late=is_late):
            await _tell(response, event, wish)


async def _tell(response: web.StreamResponse, event: ClusterEvent, wish: _Wish) -> None:
    if wish.takes(event):
        await response.write(json.dumps(_message(event)).encode() + b"\n")


def _attributes(event: ClusterEvent) -> dict[str, str]:
    return dict(event.attributes) or {"name": event.name}


def _message(event: ClusterEvent) -> JsonObject:
    return {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.object_id, "Attributes": _attributes(event)},
        "scope": SCOPE,
        "time": int(event.at),
        "timeNano": int(event.at * 1_000_000_000),
    }
