"""Requests to one Docker Engine: awaited, bounded, in plain JSON, and with every failure mapped.

Specs go as they are: the docker SDK's typed methods know fewer fields than the engine; the rest would be lost (law 10).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import quote, urlencode

from reconciler.adapters.docker import faults
from reconciler.adapters.docker.connections import Answer, Connections, Request, Stream
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.adapters.docker.engine_clock import EngineClock, here
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue

Returned = TypeVar("Returned")

REQUESTS_AT_ONCE = 8
"""Threads, and so requests in flight, for one engine. observe() sends eight; a manager commits one write at a time."""
API_MIN = (1, 40)
API_MAX = (1, 52)
"""The newest version whose effects on Swarm objects are known; newer engines still speak it."""

Query = Mapping[str, str]


class Engine:
    """An engine reached over one endpoint, with the API version that both sides know, and with its clock."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self.endpoint = endpoint
        self.version = API_MIN
        self.clock = EngineClock()
        self._connections = self._mapped(lambda: Connections(endpoint, timeout_s))
        self._threads = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="docker-engine")

    def negotiate(self) -> None:
        """Find the newest API version that both sides know; blocks. Raises engine-api-too-old, engine-unreachable."""
        self.version = self._mapped(self._negotiated)

    def _negotiated(self) -> tuple[int, int]:
        answer = self._asked(Request("GET", f"{self._prefix}/_ping", {}))
        newest = answer.headers.get("Api-Version") if answer.is_success else None
        if newest is None:  # an engine older than 17, or a proxy that drops the header
            answer = self._asked(Request("GET", f"{self._prefix}/version", {}))
            told = self._checked(answer).json()
            newest = str(told.get("ApiVersion")) if isinstance(told, dict) else ""
        offered = _parsed_version(newest)
        if offered < API_MIN:
            raise SwarmctlError(
                ErrorCode.ENGINE_API_TOO_OLD,
                f"The engine at {self.endpoint.label} is too old.",
                why=f"It speaks API {newest}; swarmctl needs {_dotted(API_MIN)} or newer.",
                hint="Upgrade it to Docker 19.03 or newer, or choose another engine.",
            )
        return min(offered, API_MAX)

    async def get(
        self,
        *steps: str,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        none_for: int | None = None,
    ) -> JsonValue:
        """Return the JSON at a path, whose steps are escaped here. An answer of status `none_for` counts as None."""

        def call() -> JsonValue:
            answer = self._asked(self._request("GET", steps, query, headers=headers))
            return None if answer.status == none_for else self._checked(answer).due_json()

        return await self._in_thread(call)

    async def get_bytes(self, *steps: str, query: Query | None = None) -> bytes:
        """Return the content at a path."""
        return await self._in_thread(lambda: self._answer(self._request("GET", steps, query)).content)

    async def post(
        self, *steps: str, body: JsonObject, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> JsonValue:
        """Send `body` exactly as it is; return the answer's JSON, or None for an empty answer."""
        return await self._in_thread(
            lambda: self._answer(self._request("POST", steps, query, headers=headers, body=body)).json()
        )

    async def delete(self, *steps: str, query: Query | None = None) -> None:
        await self._in_thread(lambda: self._answer(self._request("DELETE", steps, query)))

    def open_stream(self, *steps: str, query: Query | None = None) -> Stream:
        """Block until the engine begins to answer; the answer has no end, and so no read timeout."""
        opened = self._connections.open(self._request("GET", steps, query))
        if isinstance(opened, Answer):
            raise faults.from_response(self.endpoint, opened.status, opened.content)
        return opened

    def close(self) -> None:
        """Let go of all connections. A request in flight ends by its own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._connections.close()

    async def _in_thread(self, call: Callable[[], Returned]) -> Returned:
        import asyncio  # the first call is made without it

        return await asyncio.get_running_loop().run_in_executor(self._threads, self._mapped, call)

    def _mapped(self, call: Callable[[], Returned]) -> Returned:
        try:
            return call()
        except faults.MAPPED as error:
            raise faults.from_exception(self.endpoint, error) from error

    def _asked(self, request: Request) -> Answer:
        """Return whatever the engine answers, with its time noted."""
        asked_at = here()
        answer = self._connections.ask(request)
        self.clock.note(answer.headers.get("Date"), asked_at, here())
        return answer

    def _answer(self, request: Request) -> Answer:
        """Return the answer of an engine that did what was asked."""
        return self._checked(self._asked(request))

    def _checked(self, answer: Answer) -> Answer:
        if not answer.is_success:
            raise faults.from_response(self.endpoint, answer.status, answer.content)
        return answer

    @property
    def _prefix(self) -> str:
        """What comes before each path: nothing, or the folder of a proxy in front of the engine."""
        return quote(self.endpoint.parts.path, safe="/%") if self.endpoint.scheme == "tcp" else ""

    def _request(
        self,
        method: str,
        steps: tuple[str, ...],
        query: Query | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> Request:
        path = "/".join(quote(step, safe="") for step in steps)
        target = f"{self._prefix}/v{_dotted(self.version)}/{path}" + (f"?{urlencode(query)}" if query else "")
        if body is None:
            return Request(method, target, headers or {})
        typed = {"Content-Type": "application/json", **(headers or {})}
        return Request(method, target, typed, json.dumps(body).encode())


def _parsed_version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
