"""Controllers as processes, for tests: their files, their log lines, and their ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

WAIT_S = 60.0
POLL_S = 0.05


def until(condition: Callable[[], Any], what: str | Callable[[], str], wait_s: float = WAIT_S) -> Any:
    """Return what `condition` returns as soon as that is true. `what` is asked at the end, if it can be."""
    deadline = time.monotonic() + wait_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what() if callable(what) else what}: not within {wait_s:g} s"
        time.sleep(POLL_S)
    return found


@dataclass
class _Log:
    """A log that grows, of which each line is read once: tests look at it twenty times a second."""

    read: int = 0
    found: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def lines(self, path: Path) -> list[dict[str, Any]]:
        """All that are JSON. A process may be in the midst of the last one: that is left for the next look."""
        with self.lock, path.open("rb") as file:
            file.seek(self.read)
            new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            assert b"Traceback" not in new, new.decode()[-3000:]
            self.read += len(new)
            self.found += [json.loads(line) for line in new.splitlines() if line.startswith(b"{")]
            return list(self.found)


@dataclass
class Controller:
    """One `swarmctl run`. `folder` has its file, its log and its data; they stay from process to process."""

    folder: Path
    spec: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    inside: int | None = None
    """A process whose network it is to share."""
    _log: _Log = field(default_factory=_Log, repr=False)

    @property
    def socket(self) -> Path:
        return self.folder / "data" / "controller.sock"

    def webhook(self, body: Any, secret: str) -> int:
        """Send a generic webhook, and return the answer's status."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(str(self.socket))
        with closing(connection):
            headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/webhook", json.dumps(body), headers)
            return connection.getresponse().status

    def get(self, path: str) -> dict[str, Any]:
        """What its API answers."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(30)
        connection.sock.connect(str(self.socket))
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return dict(json.load(answer))

    def write(self) -> Path:
        """Write its file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        spec = {"dataDir": str(self.folder / "data"), **self.spec}
        file = self.folder / "controller.yaml"
        file.write_text(yaml.safe_dump({"apiVersion": "swarmctl/v1", "kind": "Controller", "spec": spec}))
        return file

    def start(self) -> Controller:
        file = self.write()
        with (self.folder / "log").open("ab") as log:
            enter = ["nsenter", f"--net=/proc/{self.inside}/ns/net"] if self.inside else []
            self.process = subprocess.Popen(
                [*enter, sys.executable, "-m", "reconciler.main", "run", "--config", str(file)],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The log's lines so far, of all processes; those of one event."""
        return [line for line in self._log.lines(self.folder / "log") if not event or line["event"] == event]

    def passes(self) -> list[dict[str, Any]]:
        return self.lines("pass decided")

    def await_line(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """The newest line of an event with these fields, once there are `count`."""

        def fitting() -> list[dict[str, Any]]:
            assert self.process is None or self.process.poll() is None, self.log_end()
            return [one for one in self.lines(event) if all(one.get(name) == value for name, value in fields.items())]

        return until(lambda: len(fitting()) >= count and fitting()[-1], lambda: f"{event} {fields} in {self.log_end()}")

    def log_end(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as systemd does, and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def ended(*controllers: Controller) -> Iterator[None]:
    """End what is left of controllers."""
    try:
        yield
    finally:
        for one in controllers:
            if one.process is not None and one.process.poll() is None:
                one.process.kill()
                one.process.wait()
