"""A registry as engines ask it for a tag's digest and pull from it: the few requests of the distribution API for that.

It listens on loopback inside engines' network namespaces, where engines accept plain HTTP, and runs in the test's own
process, so that a test just sets what it has and how it fares.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import platform
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lab.engine import busybox_tar
from tests.lab.namespaces import Cell

CLONE_NEWNET = 0x40000000
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PORT = 5000


def listening_inside(cell: Cell, port: int) -> socket.socket:
    """Return a socket that listens on loopback of a cell's network namespace, whoever then accepts from it."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        # Only this thread moves to the namespace; a socket stays in the one that it was made in.
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = os.open(f"/proc/{cell.process.pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(namespace, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns failed")
            listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen(64)
            made.append(listening)
        except OSError as error:
            made.append(error)
        finally:
            os.close(namespace)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


@dataclass
class Registry:
    """Serves while it is open as a context, inside `cell` and `others`. `login` is USER:PASSWORD; None lets all in.

    `limited` makes it answer 429; `moved_to` is where it sends whoever asks for a manifest.

    `asked` has (path, Authorization) of each request.
    """

    cell: Cell
    others: tuple[Cell, ...] = ()
    login: str | None = None
    limited: bool = False
    moved_to: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    _contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    _servers: list[ThreadingHTTPServer] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{PORT}"

    def push(self, repository: str, tag: str, content: str) -> str:
        """Let a tag stand for an image made of `content`, for amd64 and arm; return its digest. It can't be pulled."""
        platforms = [{"architecture": "amd64", "os": "linux"}, {"architecture": "arm", "os": "linux", "variant": "v7"}]
        manifests = [
            {
                "mediaType": MANIFEST,
                "size": 500,
                "digest": _digest(f"{content}{number}".encode()),
                "platform": one,
            }
            for number, one in enumerate(platforms)
        ]
        return self._tag(
            repository, tag, MANIFEST_LIST, {"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": manifests}
        )

    def push_runnable(self, repository: str, tag: str, release: str) -> str:
        """Let a tag stand for an image that engines can pull and run; return its digest. `release` tells it apart."""
        layer = busybox_tar()
        settings = {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {"Env": ["PATH=/bin", f"RELEASE={release}"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        parts = [(CONFIG, json.dumps(settings).encode()), (LAYER, layer)]
        for media_type, part in parts:
            self._contents[f"/v2/{repository}/blobs/{_digest(part)}"] = media_type, part
        config, layers = [{"mediaType": kind, "size": len(part), "digest": _digest(part)} for kind, part in parts]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layers]}
        return self._tag(repository, tag, MANIFEST, manifest)

    def _tag(self, repository: str, tag: str, media_type: str, document: dict[str, Any]) -> str:
        encoded = json.dumps(document).encode()
        digest = _digest(encoded)
        for reference in (tag, digest):
            self._contents[f"/v2/{repository}/manifests/{reference}"] = media_type, encoded
        return digest

    def __enter__(self) -> Registry:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        for cell in (self.cell, *self.others):
            server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=False)
            server.socket.close()
            server.socket = listening_inside(cell, PORT)
            server.server_name, server.server_port = "127.0.0.1", PORT
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._servers.append(server)

    def stop(self) -> None:
        """Go down: connections are refused from now on."""
        while self._servers:
            server = self._servers.pop()
            server.shutdown()
            server.server_close()

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer to a request."""
        self.asked.append((path, authorization))
        if self.limited:
            return 429, {}, _told("TOOMANYREQUESTS", "You have reached your pull rate limit.")
        if self.login and authorization != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            return 401, {"WWW-Authenticate": 'Basic realm="lab"'}, _told("UNAUTHORIZED", "authentication required")
        if path == "/v2/":
            return 200, {}, b"{}"
        if self.moved_to:
            return 307, {"Location": self.moved_to}, b""
        media_type, content = self._contents.get(path, ("", b""))
        if not media_type:
            return 404, {}, _told("MANIFEST_UNKNOWN", "manifest unknown")
        return 200, {"Content-Type": media_type, "Docker-Content-Digest": _digest(content)}, content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, headers, body = registry.answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                """Say nothing: engines try TLS first, which is no HTTP."""

        return Handler


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _told(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
