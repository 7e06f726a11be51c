"""A running controller's API, as commands use it: over its unix socket, or over HTTPS with a token. And a daemon's."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

import aiohttp

from reconciler import __version__
from reconciler.adapters.whole_answers import whole
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.json import JsonObject

REQUEST_WAIT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class ControllerClient:
    """One controller. Use it as an async context manager. Every method raises SwarmctlError.

    `token` and `ca_file` are for https; the token goes to that address only and is in no error.
    """

    code = ErrorCode.CONTROLLER_UNREACHABLE
    what = "controller"
    hint = "See whether it runs; --controller names its address: unix://PATH, or https://HOST:PORT."

    def __init__(self, address: str, token: str = "", ca_file: str = "") -> None:
        self._address = address
        self._token = token
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._base = ""

    async def __aenter__(self) -> ControllerClient:
        connector, self._base = self._connector()
        headers = {"User-Agent": f"swarmctl/{__version__}"}
        if self._token and self._base.startswith("https"):
            headers["Authorization"] = f"Bearer {self._token}"
        timeout = aiohttp.ClientTimeout(total=REQUEST_WAIT_S)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def _connector(self) -> tuple[aiohttp.BaseConnector, str]:
        if self._address.startswith("unix://"):
            return aiohttp.UnixConnector(self._address.removeprefix("unix://")), "http://controller"
        if not self._address.startswith("https://"):
            raise SwarmctlError(
                ErrorCode.USAGE,
                f"{self._address[:80]} is no address of a {self.what}.",
                why="Over the network it serves nothing without TLS.",
                hint="Write unix://PATH or https://HOST:PORT.",
            )
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise SwarmctlError(
                ErrorCode.BAD_SETTING,
                f"The authority's file {self._ca_file} can't be read.",
                why=f"{getattr(error, 'strerror', None) or type(error).__name__}.",
                hint="Name a PEM file.",
            ) from error
        return aiohttp.TCPConnector(ssl=context), self._address.rstrip("/")

    async def get(self, path: str, query: Mapping[str, str]) -> JsonObject:
        """Return the answer to a question."""
        return await self._send("GET", path, params=dict(query))

    async def post(self, path: str, body: JsonObject) -> JsonObject:
        """Ask for something; return what the controller says."""
        return await self._send("POST", path, json=body)

    async def download(self, path: str, take: Callable[[bytes], None]) -> None:
        """Let `take` have an answer that is no JSON, piece by piece; its length is the one that was promised."""
        assert self._session is not None
        waits = aiohttp.ClientTimeout(sock_connect=REQUEST_WAIT_S, sock_read=REQUEST_WAIT_S)
        try:
            async with self._session.get(self._base + path, allow_redirects=False, timeout=waits) as response:
                if response.status != 200:
                    self._checked(response.status, await whole(response, ANSWER_BYTES_MAX))
                async for piece in response.content.iter_any():
                    await asyncio.to_thread(take, piece)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def _send(self, method: str, path: str, **options: Any) -> JsonObject:
        assert self._session is not None
        try:
            async with self._session.request(method, self._base + path, allow_redirects=False, **options) as response:
                content = await whole(response, ANSWER_BYTES_MAX)
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        return self._checked(status, content)

    def _unreachable(self, error: BaseException) -> SwarmctlError:
        closed = getattr(getattr(error, "os_error", error), "errno", None) == errno.EACCES
        return SwarmctlError(
            self.code,
            f"The {self.what} at {self._address} does not answer.",
            why=f"{_reason(error)}.",
            hint=f"Its socket is open to the user that runs the {self.what}, and to root." if closed else self.hint,
        )

    def _checked(self, status: int, content: bytes) -> JsonObject:
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            why = f"Its answer has the status {status} and is no JSON."
            raise SwarmctlError(self.code, f"No {self.what} answers at {self._address}.", why=why, hint=self.hint)
        if status >= 300:
            raise SwarmctlError.from_problems((_problem(answer),))
        return answer


class DaemonClient(ControllerClient):
    """The unix socket of a running daemon, for what is no part of the Engine API."""

    code = ErrorCode.ENGINE_UNREACHABLE
    what = "daemon"
    hint = "See whether it runs; --data-dir names its folder, or --host its socket: unix://PATH."


def _problem(answer: JsonObject) -> Problem:
    known = {code.value: code for code in ErrorCode}
    code = known.get(str(answer.get("code")), ErrorCode.REQUEST_REFUSED)
    what = str(answer.get("message") or "The controller refused.")
    return Problem(code, what, str(answer.get("why") or ""), str(answer.get("hint") or ""))


def _reason(error: BaseException) -> str:
    """Return the cause in the system's words; those of a library name its own calls."""
    if isinstance(error, TimeoutError):
        return f"It took more than {REQUEST_WAIT_S:g} s"
    found = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if verified := getattr(found, "verify_message", None):
        return f"Its certificate can't be trusted: {verified}"
    number = getattr(found, "errno", None)
    if isinstance(found, OSError) and not isinstance(found, ssl.SSLError) and number and number > 0:
        return os.strerror(number)
    return str(getattr(found, "strerror", None) or type(error).__name__)
