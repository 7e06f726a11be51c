"""Real Git servers on loopback, each ended with its test: smart HTTP by git's own backend, git daemon, sshd."""

from __future__ import annotations

import base64
import http.server
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.free_ports import free_port

BACKEND = "/usr/lib/git-core/git-http-backend"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


@dataclass
class Repository:
    """A work tree to commit in, and the bare repository that it pushes to, which the servers serve."""

    work: Path
    bare: Path

    @classmethod
    def make(cls, folder: Path, name: str = "infra") -> Repository:
        made = cls(folder / f"{name}-work", folder / "served" / f"{name}.git")
        made.bare.parent.mkdir(parents=True, exist_ok=True)
        run(folder, "init", "-q", "--bare", "-b", "main", str(made.bare))
        run(folder, "init", "-q", "-b", "main", str(made.work))
        made.git("remote", "add", "origin", str(made.bare))
        return made

    def git(self, *words: str, **more: str) -> str:
        return run(self.work, *words, **more)

    def commit(self, message: str = "change", *options: str, **files: str | bytes | None) -> str:
        """Write files (`__` is a slash, `_DOT_` a dot; None removes), commit, push; return the commit."""
        for name, content in files.items():
            path = self.work / name.replace("__", "/").replace("_DOT_", ".")
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *options)
        self.push()
        return self.git("rev-parse", "HEAD")

    def push(self, *words: str) -> None:
        self.git("push", "-q", "--force", "origin", *(words or ("HEAD",)))


def run(folder: Path, *words: str, **more: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "HOME": str(folder), **more},
    )
    assert done.returncode == 0, f"git {words}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class HttpServer:
    """What clients asked for, with the Authorization header of each request ("" for none)."""

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def http_server(root: Path, *, token: str = "", redirect_to: str = "") -> Iterator[HttpServer]:  # noqa: C901 - a handler in one piece
    """Serve the repositories below `root` over smart HTTP; with `token`, only to user "git" with it as password."""
    served = HttpServer("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, *_: object) -> None:
            return

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            given = self.headers.get("Authorization", "")
            served.requests.append((path, given))
            body = self._body()
            if redirect_to:
                return self._answer(302, {"Location": redirect_to + self.path}, b"")
            if token and given != "Basic " + base64.b64encode(f"git:{token}".encode()).decode():
                return self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            variables = {
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run([BACKEND], input=body, capture_output=True, env=variables, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
            status = int(headers.pop("Status", "200").split()[0])
            return self._answer(status, headers, content)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def git_daemon(root: Path) -> Iterator[str]:
    """Serve `root` by git daemon; yield its address."""
    port = free_port()
    line = [
        "git",
        "daemon",
        "--export-all",
        "--reuseaddr",
        "--listen=127.0.0.1",
        f"--port={port}",
        f"--base-path={root}",
    ]
    daemon = subprocess.Popen([*line, str(root)], env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for_port(port)
        yield f"git://127.0.0.1:{port}"
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)  # `git` only starts git-daemon, and is no more than its parent
        daemon.wait()


@dataclass
class SshServer:
    url: str
    key: Path
    known_hosts: Path


def sshd_path() -> str | None:
    """Where sshd is, or None: it must be started by its full path."""
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Run sshd for the current user with keys of its own."""
    folder.mkdir(mode=0o700, parents=True)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    (folder / "authorized").chmod(0o600)
    port = free_port()
    settings = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(folder / "host"),
        "AuthorizedKeysFile": str(folder / "authorized"),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    privileges = Path("/run/sshd")
    if os.geteuid() == 0:
        privileges.mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen(
        [str(sshd_path()), "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_port(port)
        known = folder / "known_hosts"
        kind, key = (folder / "host.pub").read_text().split()[:2]
        known.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        yield SshServer(f"ssh://{user}@127.0.0.1:{port}", folder / "client", known)
    finally:
        server.kill()
        server.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port}")
