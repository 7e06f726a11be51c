"""Repositories that a running controller follows, for tests: what it says of each, and what has come of it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, until
from tests.e2e.program import Program
from tests.lab.git_servers import Repository

SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec: {{policy: {{prune: true}}}}\n"
STACK = """services:
  api:
    image: swarmctl-test:1
    deploy: {{replicas: 0, labels: {{mark: "{mark}"}}}}
"""
"""A service that runs no task: it converges at once."""
RARELY = "10m"


def ask(controller: Controller, path: str, body: Any = None) -> Any:
    """Ask a controller's API on its socket; `body` is posted."""
    return json.loads(_answer(controller, path, body))


def metrics(controller: Controller) -> str:
    """What a scraper reads."""
    return _answer(controller, "/metrics", None).decode()


def _answer(controller: Controller, path: str, body: Any) -> bytes:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(controller.socket))
    with closing(connection):
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return content


@dataclass
class Followed:
    """One repository, as a source of its own with one stack of its own name."""

    name: str
    repository: Repository
    controller: Controller
    backend: Backend
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, name: str, controller: Controller, backend: Backend, **settings: Any) -> Followed:
        made = cls(name, Repository.make(folder, name), controller, backend, settings)
        made.commit("1")
        return made

    @property
    def source(self) -> dict[str, Any]:
        """What the controller's file says of it."""
        usual: dict[str, Any] = {"name": self.name, "url": str(self.repository.bare), "interval": RARELY}
        if "workTree" in self.settings:
            del usual["url"]
        else:
            usual["ref"] = {"branch": "main"}
        return {**usual, **self.settings}

    def commit(self, mark: str, **files: str | bytes | None) -> str:
        """Ask for a service with this mark."""
        return self.repository.commit(mark, **{**self.files(mark), **files})

    def files(self, mark: str, folder: str = "") -> dict[str, str | bytes | None]:
        """What asks for it, below a folder, by names as `Repository.commit` takes them."""
        swarm, stack = SWARM.format(name=self.name), STACK.format(mark=mark)
        top = folder.replace("/", "__")
        return {f"{top}stacks__{self.name}_DOT_yaml": stack, f"{top}swarm_DOT_yaml": swarm}

    def wake(self) -> None:
        """Tell the controller, as a forge does."""
        assert self.controller.webhook({"source": self.name}, SECRET) == 202

    def status(self) -> dict[str, Any]:
        """Where the source stands, as the controller says."""
        sources = ask(self.controller, "/v1/status")["sources"]
        return next(one for one in sources if one["name"] == self.name)

    def fault(self) -> dict[str, Any]:
        """Why nothing newer is in force; empty while all is well."""
        return self.status()["fault"] or {}

    def mark(self) -> str:
        """What the cluster has; "" for nothing."""
        found = self.backend.engine.services(filters={"name": f"{self.name}_api"})
        return found[0]["Spec"]["Labels"]["mark"] if found else ""

    def await_mark(self, mark: str) -> None:
        self._until(lambda: self.mark() == mark, f"has {mark}")

    def await_fault(self, code: str, kept: str) -> dict[str, Any]:
        """Wait until the source has a fault, and see that the last good revision stayed in force."""
        found: dict[str, Any] = self._until(lambda: (fault := self.fault()).get("code") == code and fault, f"is {code}")
        assert self.mark() == kept
        return found

    def await_recovery(self, mark: str) -> None:
        self.await_mark(mark)
        self._until(lambda: not self.fault(), "is well")

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        try:
            return until(condition, f"{self.name} {what}")
        except AssertionError as error:
            raise AssertionError(
                f"{error}; has {self.mark()}, says {self.status()}; {self.controller.log_end()}"
            ) from error

    def meddle(self) -> None:
        """Change the service behind Git's back."""
        found = self.backend.service(f"{self.name}_api")
        self.backend.engine._post_json(
            self.backend.engine._url("/services/{0}/update", found["ID"]),
            data={**found["Spec"], "Labels": {**found["Spec"]["Labels"], "mark": "meddled"}},
            params={"version": found["Version"]["Index"]},
        )


@contextmanager
def small_swarm(folder: Path) -> Iterator[Backend]:
    """An embedded swarm of one node."""
    swarmctl = Program(folder, {"SWARMCTL_DATA_DIR": str(folder / "swarm")})
    host = swarmctl.ok("up", "--nodes", "1").split("DOCKER_HOST=")[1].split()[0]
    swarmctl.environment["DOCKER_HOST"] = host
    engine = docker.APIClient(base_url=host, version="auto", timeout=60)
    try:
        yield Backend("embedded", host, engine, swarmctl)
    finally:
        engine.close()
        swarmctl.ok("down")


def clear(backend: Backend) -> None:
    """Take away what was deployed."""
    for one in backend.engine.services():
        backend.engine.remove_service(one["ID"])
    for one in backend.engine.networks():
        if one["Name"].endswith("_default"):
            backend.engine.remove_network(one["Id"])
    for one in backend.engine.secrets():
        backend.engine.remove_secret(one["ID"])
    for one in backend.engine.configs():
        backend.engine.remove_config(one["ID"])


SECRET = "s3cret-of-the-webhook"


def controller_of(folder: Path, backend: Backend, **spec: Any) -> Controller:
    """A controller that takes generic webhooks; give it its sources before it is started."""
    (folder / "webhook-secret").write_text(SECRET)
    webhooks = [{"forge": "generic", "secretFile": str(folder / "webhook-secret")}]
    return Controller(folder / "c", {"name": "prod", "cluster": {"host": backend.host}, "webhooks": webhooks, **spec})


@dataclass
class Door:
    """A port in front of another. Shut, it takes connections and never answers."""

    port: int
    is_open: bool = True
    waiting: list[socket.socket] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def shut(self) -> None:
        with self._turn:
            self.is_open = False

    def slam(self) -> None:
        """Open it, and end what waits: nobody is left waiting."""
        with self._turn:
            self.is_open = True
            while self.waiting:
                self.waiting.pop().close()

    def lets_in(self, guest: socket.socket) -> bool:
        with self._turn:
            if not self.is_open:
                self.waiting.append(guest)
            return self.is_open


@contextmanager
def door_before(port: int) -> Iterator[Door]:
    """Stand before a port of this machine, open at first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = Door(listener.getsockname()[1])

        def welcome() -> None:
            with suppress(OSError):
                while True:
                    guest, _ = listener.accept()
                    if not door.lets_in(guest):
                        continue
                    inner = socket.create_connection(("127.0.0.1", port))
                    for one, other in ((guest, inner), (inner, guest)):
                        threading.Thread(target=_copy, args=(one, other), daemon=True).start()

        thread = threading.Thread(target=welcome, daemon=True)
        thread.start()
        try:
            yield door
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            door.slam()
            thread.join()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while content := one.recv(65536):
            other.sendall(content)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)
