"""A forge that runs in the test: what GitHub, GitLab and Gitea document of comments and commit statuses.

One store, three faces. It is as strict as they are: the right header for the token, the right method for an edit,
pages, a limit on lengths, and 404 for what a token may not see.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "forge-token-5e1f"
REPOSITORY = "team/infra"
COMMENT_MAX = 65_536
PIECE_PAUSE_S = 0.01
"""Seconds between the two pieces of an answer."""

DESCRIPTION_MAX = {"github": 140, "gitlab": 255, "gitea": 255}
STATES = {
    "github": {"error", "failure", "pending", "success"},
    "gitlab": {"pending", "running", "success", "failed", "canceled", "skipped"},
    "gitea": {"error", "failure", "pending", "success", "warning"},
}


@dataclass
class Forge:
    """Use it as a context manager; `url` is the API's.

    `faults` are statuses to answer with first; None drops the connection.
    """

    provider: str
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    faults: list[int | None] = field(default_factory=list)
    fault_headers: dict[str, str] = field(default_factory=dict)
    """What comes with each of the faults."""
    meanwhile: list[str] = field(default_factory=list)
    """Comments that another run posts just before ours is created."""
    foreign: set[int] = field(default_factory=set)
    """Comments of another account, which the token may not edit."""
    refuses_statuses: bool = False
    """As for a token that may comment only."""
    page: bytes | None = None
    """What is answered to everything, with status 200, by something that is no forge's API."""

    def __enter__(self) -> Forge:
        forge = self

        class Handler(_Handler):
            state = forge

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        base = {"github": "", "gitlab": "/api/v4", "gitea": "/api/v1"}[self.provider]
        return f"http://127.0.0.1:{self._server.server_address[1]}{base}"

    def add(self, body: str) -> int:
        """Add a comment of somebody else's."""
        number = max(self.comments, default=999) + 1
        self.comments[number] = {"id": number, "body": body}
        return number


class _Handler(BaseHTTPRequestHandler):
    state: Forge
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        forge = self.state
        parts = urlsplit(self.path)
        forge.requests.append((self.command, parts.path))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        if forge.page is not None:
            self._send(200, forge.page)
            return
        if forge.faults:
            fault = forge.faults.pop(0)
            if fault is None:
                self.close_connection = True
                self.connection.close()
                return
            self._send(fault, b'{"message": "as the test asked"}', forge.fault_headers)
            return
        if not self._is_authorized():
            self._answer(401, {"message": "Bad credentials"})
            return
        prefix = urlsplit(forge.url).path
        steps = parts.path.removeprefix(prefix).strip("/").split("/")
        self._answer(*self._route(steps, parse_qs(parts.query), body))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def _is_authorized(self) -> bool:
        if self.state.provider == "gitlab":
            return self.headers.get("PRIVATE-TOKEN") == TOKEN
        scheme = {"github": "Bearer", "gitea": "token"}[self.state.provider]
        return self.headers.get("Authorization") == f"{scheme} {TOKEN}"

    def _route(self, steps: list[str], query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        gitlab = self.state.provider == "gitlab"
        if gitlab:
            head, repository, rest = steps[0], unquote(steps[1]), steps[2:]
        else:
            head, repository, rest = steps[0], "/".join(steps[1:3]), steps[3:]
        if head != ("projects" if gitlab else "repos") or repository != REPOSITORY:
            return 404, {"message": "Not Found"}
        if rest[0] == "statuses" and self.command == "POST":
            return self._status(rest[1], body)
        listing, one = (["merge_requests", "7", "notes"], 4) if gitlab else (["issues", "7", "comments"], 0)
        if rest == listing:
            return self._list(query) if self.command == "GET" else self._create(body)
        editing = len(rest) == one if gitlab else rest[:2] == ["issues", "comments"] and len(rest) == 3
        if editing and self.command == "DELETE" and int(rest[-1]) in self.state.comments:
            del self.state.comments[int(rest[-1])]
            return 204, None
        if editing and self.command == ("PUT" if gitlab else "PATCH") and int(rest[-1]) in self.state.comments:
            return self._edit(int(rest[-1]), body)
        return 404, {"message": "404 Not Found"}

    def _list(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        everything = list(self.state.comments.values())
        if self.state.provider == "gitlab" and query.get("sort") != ["asc"]:
            everything.reverse()
        if self.state.provider == "gitea":
            return 200, everything  # comments of one issue come on one page
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        assert size <= 100
        return 200, everything[(page - 1) * size : page * size]

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not body.get("body") or len(body["body"]) > COMMENT_MAX:
            return 422, {"message": "Validation Failed"}
        while self.state.meanwhile:
            self.state.add(self.state.meanwhile.pop(0))
        number = max(self.state.comments, default=999) + 1
        self.state.comments[number] = self._shown(number, body["body"])
        return 201, self.state.comments[number]

    def _edit(self, number: int, body: dict[str, Any]) -> tuple[int, Any]:
        if number in self.state.foreign:
            return 403, {"message": "403 Forbidden"}
        self.state.comments[number] = self._shown(number, body["body"])
        return 200, self.state.comments[number]

    def _shown(self, number: int, body: str) -> dict[str, Any]:
        if self.state.provider == "gitlab":
            return {"id": number, "body": body, "system": False}
        return {"id": number, "body": body, "html_url": f"https://forge.test/{REPOSITORY}/pull/7#{number}"}

    def _status(self, commit: str, body: dict[str, Any]) -> tuple[int, Any]:
        provider = self.state.provider
        if self.state.refuses_statuses:
            return 403, {"message": "Resource not accessible by integration"}
        if body.get("state") not in STATES[provider] or len(body.get("description", "")) > DESCRIPTION_MAX[provider]:
            return 422, {"message": "Validation Failed"}
        self.state.statuses.append({"commit": commit, **body})
        return 201, body

    def _answer(self, status: int, value: Any) -> None:
        self._send(status, b"" if status == 204 else json.dumps(value).encode())

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2  # as a network delivers what is longer than a packet
        for piece in (content[:half], content[half:]):
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(PIECE_PAUSE_S)
