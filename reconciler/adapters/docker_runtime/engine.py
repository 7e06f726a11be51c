"""The node's own engine: plain requests over its unix socket, each awaited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject

API_VERSION = "1.40"
"""The oldest that a swarm's engine may speak; all of this works with it."""

REQUEST_TIMEOUT_S = 60.0
"""Seconds for an answer, but for those that wait for a container's end or for an image."""

PROBE_TIMEOUT_S = 2.0
NOT_FOUND = 404
CONFLICT = 409


class EngineRefused(SwarmctlError):
    """The engine's answer to a request that it did not carry out. `status` is HTTP's, 0 when there was none."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(ErrorCode.EMBEDDED_FAILED, message)
        self.status = status


class NodeEngine:
    """An engine behind unix:///PATH. Must be closed."""

    def __init__(self, host: str) -> None:
        self.host = host
        # A container's end is waited for by a request of its own, so that there is one connection for each.
        self._connector = aiohttp.UnixConnector(host.removeprefix("unix://"), limit=0)
        self._session = aiohttp.ClientSession(connector=self._connector)

    async def answers(self) -> bool:
        """Return whether an engine answers there."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self.get("_ping")
        except (SwarmctlError, TimeoutError):
            return False
        return True

    async def get(self, *steps: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON at a path, whose steps are escaped here. Raises EngineRefused."""
        return _json(await self.ask("GET", *steps, query=query))

    async def post(
        self, *steps: str, body: JsonObject | None = None, query: Mapping[str, str] | None = None, waits: bool = False
    ) -> Any:
        """Send `body`, and return the answer's JSON. `waits` is for an answer that may take any time."""
        data = None if body is None else json.dumps(body).encode()
        return _json(await self.ask("POST", *steps, query=query, data=data, waits=waits))

    async def ask(
        self,
        method: str,
        *steps: str,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        kind: str = "application/json",
        waits: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the content of an answer. Raises EngineRefused."""
        path = "/".join(quote(step, safe="") for step in steps)
        try:
            async with self._session.request(
                method,
                f"http://docker/v{API_VERSION}/{path}",
                params=query,
                data=data,
                headers={**({"Content-Type": kind} if data is not None else {}), **(headers or {})},
                timeout=aiohttp.ClientTimeout(total=None if waits else REQUEST_TIMEOUT_S),
            ) as response:
                content = await response.read()
                if response.status >= 300 and response.status != 304:
                    raise EngineRefused(response.status, _message(content))
                return content
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineRefused(0, f"the node's engine does not answer ({type(error).__name__})") from error

    async def close(self) -> None:
        """Let go of all connections."""
        await self._session.close()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content.strip() else None
    except ValueError:
        return None  # a stream of progress, or "OK"


def _message(content: bytes) -> str:
    answer = _json(content)
    message = answer.get("message") if isinstance(answer, dict) else None
    return str(message or "the node's engine refuses it")
