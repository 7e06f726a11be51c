"""Raw HTTP to an engine's unix socket: what is sent is exactly what a test says, and what comes back is not judged."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

ANSWER_WAIT_S = 30.0


class _OverUnix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=ANSWER_WAIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Answered:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The error's text; the whole body where it is none of the API's."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return self.body.decode("utf-8", "replace")
        return str(found["message"]) if isinstance(found, dict) and "message" in found else ""


def path_of(host: str) -> str:
    return host.removeprefix("unix://")


def ask(host: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answered:
    """Send one request on a connection of its own. `body` is sent as it is if it is bytes, as JSON if not None."""
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    told = {"Content-Type": "application/json"} if content is not None else {}
    connection = _OverUnix(path_of(host))
    try:
        connection.request(method, path, body=content, headers=told | (headers or {}))
        response = connection.getresponse()
        return Answered(response.status, response.read(), {key.lower(): value for key, value in response.getheaders()})
    finally:
        connection.close()
