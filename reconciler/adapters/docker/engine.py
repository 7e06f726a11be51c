"""Requests to one Docker Engine: awaited, bounded, in plain JSON, and with every failure mapped.

The SDK's client serves as what it also is, a requests.Session with transports for unix sockets and TLS. Its typed
methods are not used: they know fewer fields than the engine, and what they don't know would be lost (law 10).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import quote

import docker
import requests

from reconciler.adapters.docker import faults
from reconciler.adapters.docker.dialing import SshAdapter
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue

Answer = TypeVar("Answer")

REQUESTS_AT_ONCE = 8
"""Threads, and so requests in flight, for one engine. observe() sends eight; a manager commits one write at a time."""
CONNECT_TIMEOUT_S = 30.0
API_MIN = (1, 40)
API_MAX = (1, 52)
"""The newest version whose effects on Swarm objects are known; newer engines still speak it."""
SDK_VERSION = "1.44"
"""Only to satisfy the SDK's constructor; paths here carry the negotiated version."""

Query = Mapping[str, str]


class Engine:
    """An engine reached over one endpoint, with the API version that both sides know."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self.endpoint = endpoint
        self.version = API_MIN
        self._timeout = (min(CONNECT_TIMEOUT_S, timeout_s), timeout_s)
        self._threads = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="docker-engine")
        try:
            self._session = _session(endpoint, timeout_s)
        except faults.MAPPED as error:
            self._threads.shutdown(wait=False)
            raise faults.from_exception(endpoint, error) from error

    def negotiate(self) -> None:
        """Find the newest API version that both sides know; blocks. Raises engine-api-too-old, engine-unreachable."""
        self.version = self._mapped(self._negotiated)

    def _negotiated(self) -> tuple[int, int]:
        response = self._session.get(f"{self._session.base_url}/_ping", timeout=self._timeout)
        newest = response.headers.get("Api-Version") if response.ok else None
        if newest is None:  # an engine older than 17, or a proxy that drops the header
            response = self._session.get(f"{self._session.base_url}/version", timeout=self._timeout)
            if not response.ok:
                raise faults.from_response(self.endpoint, response.status_code, response.content)
            newest = str((response.json() or {}).get("ApiVersion"))
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
            response = self._answered("GET", steps, query, None, headers)
            if response.status_code == none_for:
                return None
            return self._checked(response).json() if response.content else None

        return await self._in_thread(call)

    async def get_bytes(self, *steps: str, query: Query | None = None) -> bytes:
        """Return the content at a path."""
        return await self._in_thread(lambda: self._send("GET", steps, query).content)

    async def post(
        self, *steps: str, body: JsonObject, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> JsonValue:
        """Send `body` exactly as it is; return the answer's JSON, or None for an empty answer."""
        return await self._in_thread(lambda: self._json("POST", steps, query, body, headers))

    async def delete(self, *steps: str, query: Query | None = None) -> None:
        await self._in_thread(lambda: self._send("DELETE", steps, query))

    def open_stream(self, *steps: str, query: Query | None = None) -> requests.Response:
        """Block until the engine begins to answer; the answer has no end, and so no read timeout."""
        return self._send("GET", steps, query, stream=True)

    def close(self) -> None:
        """Let go of all connections. A request in flight ends by its own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _in_thread(self, call: Callable[[], Answer]) -> Answer:
        import asyncio  # the first call is made without it

        return await asyncio.get_running_loop().run_in_executor(self._threads, self._mapped, call)

    def _mapped(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except faults.MAPPED as error:
            raise faults.from_exception(self.endpoint, error) from error

    def _json(
        self,
        method: str,
        steps: tuple[str, ...],
        query: Query | None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonValue:
        response = self._send(method, steps, query, body, headers)
        return response.json() if response.content else None

    def _send(
        self,
        method: str,
        steps: tuple[str, ...],
        query: Query | None = None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        """Return the answer of an engine that did what was asked."""
        return self._checked(self._answered(method, steps, query, body, headers, stream=stream))

    def _checked(self, response: requests.Response) -> requests.Response:
        if response.status_code >= 300:
            with response:
                raise faults.from_response(self.endpoint, response.status_code, response.content)
        return response

    def _answered(
        self,
        method: str,
        steps: tuple[str, ...],
        query: Query | None = None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        path = "/".join(quote(step, safe="") for step in steps)
        connect_s, read_s = self._timeout
        response: requests.Response = self._session.request(
            method,
            f"{self._session.base_url}/v{_dotted(self.version)}/{path}",
            params=query,
            data=None if body is None else json.dumps(body),
            headers={**({} if body is None else {"Content-Type": "application/json"}), **(headers or {})},
            timeout=(connect_s, None if stream else read_s),
            stream=stream,
            allow_redirects=False,
        )
        return response


def _session(endpoint: Endpoint, timeout_s: float) -> docker.APIClient:
    """Return a client with the right transport, not yet connected."""
    url = "tcp://localhost:1" if endpoint.scheme == "ssh" else endpoint.url
    client = docker.APIClient(
        base_url=url, version=SDK_VERSION, timeout=timeout_s, tls=_tls(endpoint), max_pool_size=REQUESTS_AT_ONCE
    )
    # Proxies, .netrc and authorities named in the environment are for the web, not for an engine.
    client.trust_env = False
    if endpoint.scheme == "ssh":
        client.mount(client.base_url, SshAdapter(endpoint.parts, REQUESTS_AT_ONCE))
    return client


def _tls(endpoint: Endpoint) -> docker.tls.TLSConfig | bool:
    files = endpoint.tls
    if files is None or endpoint.scheme != "tcp":
        return False
    pair = (files.certificate, files.key) if files.certificate or files.key else None
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=files.ca, verify=files.verify)


def _parsed_version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
