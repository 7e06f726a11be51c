"""Three controllers on one swarm, as processes, with a proxy for each that tells who wrote what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.controllers import Controller, ended, until
from tests.lab.git_servers import Repository, free_port
from tests.lab.proxy import Call, Fault, Proxy

STACKS = 6
WRITE_S = 0.2
NAMES = ("c1", "c2", "c3")
SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {policy: {prune: true}}\n"
STACK = """services:
  api:
    image: swarmctl-test:1
    command: ["sleep", "100000"]
    stop_grace_period: 100ms
    networks: []
    deploy: {replicas: %d, endpoint_mode: dnsrr, update_config: {monitor: 100ms}}
"""


def stacks(replicas: int) -> dict[str, str]:
    return {f"stacks__s{number}_DOT_yaml": STACK % replicas for number in range(STACKS)}


def slow_writes(_: int, call: Call) -> Fault | None:
    """An engine that takes its time, so that there is a middle of an apply to be struck in."""
    if is_write(call):
        time.sleep(WRITE_S)
    return None


def is_write(call: Call) -> bool:
    return call.is_write and "/services/" in call.path


@dataclass
class Group:
    """Controllers by name, each with a proxy of its own in front of the engine: it tells who wrote what."""

    backend: Any
    controllers: dict[str, Controller] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)

    def writes(self, name: str) -> list[str]:
        """The writes to services that a controller has sent."""
        return [str(call) for call in list(self.proxies[name].calls) if is_write(call)]

    def epochs(self) -> dict[str, int]:
        """In which epoch each controller led last, 0 for never; also of those that have died."""
        begun = {name: self.controllers[name].lines("leading") for name in NAMES}
        return {name: lines[-1]["epoch"] if lines else 0 for name, lines in begun.items()}

    def leader(self, after: int = 0) -> str:
        """Who began to lead last, once that was in an epoch later than `after`."""

        def newest() -> str:
            epochs = self.epochs()
            name = max(NAMES, key=epochs.__getitem__)
            return name if epochs[name] > after else ""

        return str(until(newest, "somebody leads"))

    def replicas(self) -> list[int]:
        found = self.backend.engine.services()
        return sorted(one["Spec"]["Mode"]["Replicated"]["Replicas"] for one in found)

    def previous_replicas(self) -> list[int | None]:
        """What each service was before its last update; None where it never had one: a second write would show."""
        found = [one.get("PreviousSpec") for one in self.backend.engine.services()]
        return [one["Mode"]["Replicated"]["Replicas"] if one else None for one in found]


@contextmanager
def a_group(backend: Any, repository: Repository, tmp_path: Path) -> Iterator[Group]:
    """Three controllers that have begun to follow an empty cluster."""
    ports = {name: free_port() for name in NAMES}
    members = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    ask = backend.swarmctl.ok
    ask("peers", "init", "--name", "c1", "--listen", members["c1"], "--dir", str(tmp_path / "peers-c1"))
    for name in NAMES[1:]:
        ask(
            "peers",
            "add",
            name,
            members[name],
            "--out",
            str(tmp_path / f"peers-{name}"),
            "--dir",
            str(tmp_path / "peers-c1"),
        )
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "500ms"}
    made = Group(backend)
    with ExitStack() as proxies:
        for name in NAMES:
            socket = Path(backend.host.removeprefix("unix://"))
            made.proxies[name] = proxies.enter_context(Proxy(socket, tmp_path / f"{name}.sock"))
            made.proxies[name].reset(slow_writes)
            spec = {
                "cluster": {"host": made.proxies[name].host},
                "sources": [source],
                "group": {"peers": str(tmp_path / f"peers-{name}"), "members": members},
                "apply": {"parallel": 1, "resolveImages": "never"},
            }
            made.controllers[name] = Controller(tmp_path / name, spec)
        with ended(*made.controllers.values()):
            for controller in made.controllers.values():
                controller.start()
            yield made
