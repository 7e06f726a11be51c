"""The containers of one node on its engine: listed, looked at, ended, removed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from reconciler.adapters.docker_runtime import container
from reconciler.adapters.docker_runtime.engine import NOT_FOUND, EngineRefused, NodeEngine
from reconciler.model.json import JsonObject, dig

LOST_EXIT_CODE = 137
"""Of a container that somebody has removed."""

RETRY_S = 1.0
"""Seconds until an engine that does not answer is asked again for a container's end, or for its removal."""

REMOVALS_MAX = 3
"""How often the removal of a container is asked for."""

ATTEMPTS_MAX = 3
"""How often an engine that answers others is asked for what it gives no answer to."""

T = TypeVar("T")


_log = logging.getLogger(__name__)


class FoundContainer(msgspec.Struct, frozen=True):
    """A container that is on the engine."""

    task_id: str
    id: str
    is_running: bool


class NodeContainers:
    """All containers of the node `node_id`. `networks` are the names of those that any of them was seen on."""

    def __init__(self, node_id: str, engine: NodeEngine) -> None:
        self._node_id = node_id
        self._engine = engine
        self.networks: set[str] = set()

    async def all(self, *, within_s: float | None = None) -> list[FoundContainer]:
        """Return this node's containers. Raises EngineRefused, also where the engine lets wait longer than asked."""
        filters = {"label": [f"{container.NODE_LABEL}={self._node_id}"]}
        query = {"all": "1", "filters": json.dumps(filters)}
        try:
            async with asyncio.timeout(within_s):
                listed = await self._engine.get("containers", "json", query=query)
        except TimeoutError as error:
            raise EngineRefused(0, f"the node's engine does not list its containers within {within_s:g} s") from error
        for one in listed or ():
            self.networks.update(dig(one, "NetworkSettings", "Networks") or ())
        return [
            FoundContainer(one["Labels"].get(container.TASK_LABEL, ""), one["Id"], one.get("State") == "running")
            for one in listed or ()
        ]

    async def end_of(self, container_id: str) -> int:
        """Return a container's exit code once it has ended; an engine that goes away is asked again."""
        while True:
            try:
                answer = await self._engine.post("containers", container_id, "wait", waits=True)
                return int(answer["StatusCode"])
            except EngineRefused as error:
                if error.status == NOT_FOUND:
                    return LOST_EXIT_CODE
                await asyncio.sleep(RETRY_S)

    async def inspect(self, container_id: str) -> JsonObject | None:
        """Return what the engine tells of a container, None when there is none. Raises EngineRefused."""
        try:
            seen: JsonObject = await self._engine.get("containers", container_id, "json")
        except EngineRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return seen

    async def look_at(self, container_id: str) -> JsonObject | None:
        """Inspect a container of a task, once the engine answers."""
        return await self.once_it_answers(lambda: self.inspect(container_id))

    async def once_it_answers(self, asking: Callable[[], Awaitable[T]]) -> T:
        """Return what `asking` gives; while the engine is away, and for a few times when it answers others only, ask
        again. Raises EngineRefused."""
        answered = 0
        while True:
            try:
                return await asking()
            except EngineRefused as error:
                if error.status:
                    raise
                answered += await self._engine.answers()
                if answered >= ATTEMPTS_MAX:
                    raise
                _log.debug("The engine is asked again: %s", error.problems[0].what)
            await asyncio.sleep(RETRY_S)

    async def kill(self, container_id: str) -> None:
        """Kill a container, and return when it has ended. An engine that is just starting it refuses that, and then it
        would run for ever: it is asked again."""
        await self.quietly("POST", "containers", container_id, "kill")
        ending = asyncio.ensure_future(self.end_of(container_id))
        try:
            while not (await asyncio.wait({ending}, timeout=RETRY_S))[0]:
                await self.quietly("POST", "containers", container_id, "kill")
        finally:
            ending.cancel()

    async def remove(self, container_id: str) -> None:
        """Remove a container, with its anonymous volumes; an engine that is just starting or removing it may have to be
        asked again."""
        for attempt in range(REMOVALS_MAX):
            await asyncio.sleep(RETRY_S if attempt else 0)
            try:
                await self._engine.ask("DELETE", "containers", container_id, query={"force": "1", "v": "1"})
            except EngineRefused as error:
                if error.status == NOT_FOUND:
                    return
                _log.warning("Container %s is not removed: %s", container_id, error.problems[0].what)
            else:
                return

    async def quietly(self, method: str, *steps: str, **query: str) -> None:
        """Ask for what may be so already, or be impossible by now."""
        try:
            await self._engine.ask(method, *steps, query=query)
        except EngineRefused as error:
            _log.debug("%s %s: %s", method, "/".join(steps), error.problems[0].what)
