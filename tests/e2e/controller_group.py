"""Three controllers on one swarm, as processes, with a proxy for each that tells who wrote what."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.group.wires import Wires
from tests.e2e.controllers import Controller, ended, until
from tests.free_ports import free_ports
from tests.lab.git_servers import Repository
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
SERVICES = tuple(f"s{number}_api" for number in range(STACKS))
IN_WIRES_PORT = 7946
SETTLED_S = 180.0
"""However slow the machine is: its elections end in time, or something else is wrong."""

RESTING = ("idle", "holds")
"""Outcomes of a pass that had nothing to write."""

Choice = Callable[[str, Call], Fault | None]
"""What befalls a call of a controller."""


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
    wires: Wires | None = None
    began_again: list[str] = field(default_factory=list)
    """Controllers that had ended by themselves, and why."""

    def writes(self, name: str) -> list[str]:
        """The writes to services that a controller has sent."""
        return [str(call) for call in list(self.proxies[name].calls) if is_write(call)]

    def done(self) -> Counter[str]:
        """{write to a service: how often an engine has done it}, by whomever it was sent."""
        return Counter(str(call) for proxy in self.proxies.values() for call in list(proxy.done) if is_write(call))

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

        return str(until(newest, "somebody leads", SETTLED_S))

    def settled_leader(self, commit: str = "", after: int = 0) -> str:
        """Who leads, once a pass of its newest epoch had nothing to do; for `commit`, where one is given."""

        def settled() -> str:
            name = self.leader(after)
            epoch = self.epochs()[name]
            last = [one for one in self.controllers[name].passes() if one["pass_id"].startswith(f"{epoch}-")][-1:]
            rests = last and last[0]["outcome"] in RESTING and last[0]["revision"].startswith(commit)
            return name if rests else ""

        return str(until(settled, "a leader that has nothing to do", SETTLED_S))

    def await_all(self) -> None:
        """Return when each controller runs and knows who leads: a strike before that leaves no majority."""

        def are_ready() -> bool:
            self.start_ended()
            try:
                return all(one.get("/readyz")["ok"] for one in self.controllers.values())
            except (AssertionError, OSError):
                return False

        until(are_ready, "all controllers are ready", SETTLED_S)

    def start_ended(self) -> None:
        """Do what systemd does: who can't go on ends by itself, and is begun again from its folder. It is noted."""
        for name, controller in self.controllers.items():
            if controller.process is not None and (code := controller.process.poll()) not in (None, -9):
                lines = (controller.folder / "log").read_text().splitlines()
                why = next((line for line in reversed(lines) if line.startswith("Error:")), "")
                self.began_again.append(f"{name} ended by itself with {code}: {why}")
                controller.start()

    def replicas(self) -> list[int]:
        found = self.backend.engine.services()
        return sorted(one["Spec"]["Mode"]["Replicated"]["Replicas"] for one in found if one["Spec"]["Name"] in SERVICES)

    def previous_replicas(self) -> list[int | None]:
        """What each service was before its last update; None where it never had one: a second write would show."""
        found = [one.get("PreviousSpec") for one in self.backend.engine.services() if one["Spec"]["Name"] in SERVICES]
        return [one["Mode"]["Replicated"]["Replicas"] if one else None for one in found]

    def choose(self, choice: Choice) -> None:
        """Break calls, of all controllers, from now on."""
        for name, proxy in self.proxies.items():
            proxy.reset(partial(_chosen, choice, name))


def _chosen(choice: Choice, name: str, _: int, call: Call) -> Fault | None:
    return choice(name, call)


@contextmanager
def a_group(
    backend: Any,
    repository: Repository,
    tmp_path: Path,
    *,
    sockets: Mapping[str, str] | None = None,
    wires: Wires | None = None,
    interval: str = "500ms",
    more: Mapping[str, Any] | None = None,
) -> Iterator[Group]:
    """Three controllers that have begun to follow an empty cluster.

    `sockets` are those of the engines that they talk to, where not all talk to the backend's. With `wires` each is in
    a network of its own. `more` goes into their files.
    """
    members = _addresses(wires)
    _make_identities(backend, members, tmp_path)
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": interval}
    made = Group(backend, wires=wires)
    with ExitStack() as proxies:
        for name in NAMES:
            socket = Path((sockets or {}).get(name, backend.host.removeprefix("unix://")))
            made.proxies[name] = proxies.enter_context(Proxy(socket, tmp_path / f"{name}.sock"))
            made.proxies[name].reset(slow_writes)
            spec = {
                "cluster": {"host": made.proxies[name].host},
                "sources": [source],
                "group": {"peers": str(tmp_path / f"peers-{name}"), "members": members},
                "apply": {"parallel": 1, "resolveImages": "never"},
                **(more or {}),
            }
            made.controllers[name] = Controller(tmp_path / name, spec, inside=wires.hosts[name][1] if wires else None)
        with ended(*made.controllers.values()):
            for controller in made.controllers.values():
                controller.start()
            yield made


def _addresses(wires: Wires | None) -> dict[str, str]:
    if wires is not None:
        return {name: f"{wires.hosts[name][0]}:{IN_WIRES_PORT}" for name in NAMES}
    return {name: f"127.0.0.1:{port}" for name, port in zip(NAMES, free_ports(len(NAMES)), strict=True)}


def _make_identities(backend: Any, members: Mapping[str, str], tmp_path: Path) -> None:
    ask, keeper = backend.swarmctl.ok, str(tmp_path / "peers-c1")
    ask("peers", "init", "--name", "c1", "--listen", members["c1"], "--dir", keeper)
    for name in NAMES[1:]:
        ask("peers", "add", name, members[name], "--out", str(tmp_path / f"peers-{name}"), "--dir", keeper)
