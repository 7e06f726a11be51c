"""Three controllers on one swarm: the leader is killed, or paused, in the middle of an apply."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
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

    backend: Backend
    controllers: dict[str, Controller] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)

    def writes(self, name: str) -> list[str]:
        """The writes to services that a controller has sent."""
        return [str(call) for call in list(self.proxies[name].calls) if is_write(call)]

    def leader(self) -> str:
        """Who of those that run led last; the highest epoch counts."""

        def last(name: str) -> int:
            process = self.controllers[name].process
            alive = process is not None and process.poll() is None
            begun = self.controllers[name].lines("leading") if alive else []
            return begun[-1]["epoch"] if begun else 0

        return until(lambda: max(map(last, NAMES)) and max(NAMES, key=last), "somebody leads")

    def replicas(self) -> list[int]:
        found = self.backend.engine.services()
        return sorted(one["Spec"]["Mode"]["Replicated"]["Replicas"] for one in found)

    def previous_replicas(self) -> list[int | None]:
        """What each service was before its last update; None where it never had one: a second write would show."""
        found = [one.get("PreviousSpec") for one in self.backend.engine.services()]
        return [one["Mode"]["Replicated"]["Replicas"] if one else None for one in found]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("nothing yet", swarm_DOT_yaml=SWARM)
    return made


@pytest.fixture
def group(backend: Backend, repository: Repository, tmp_path: Path) -> Iterator[Group]:
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


def test_whoever_leads_next_finishes_a_half_done_apply_and_nothing_is_written_twice(
    group: Group, repository: Repository
):
    first = group.leader()
    group.controllers[first].await_line("pass decided", outcome="idle")

    repository.commit("deploy", **stacks(1))
    until(lambda: len(group.writes(first)) >= 2, "the apply is under way")
    group.controllers[first].kill()
    half = len(group.replicas())
    until(lambda: len(group.replicas()) == STACKS, "the next leader finishes it")
    second = group.leader()
    assert second != first
    assert half < STACKS, "the kill came too late to tell anything"
    group.controllers[second].await_line("pass decided", outcome="idle", stalled=0)
    assert group.previous_replicas() == [None] * STACKS
    created = [one for name in NAMES for one in group.writes(name)]
    assert set(created) == {"POST /services/create"}
    assert len(created) <= STACKS + 1, "one create may have been on its way when its sender died"

    group.controllers[first].start()
    repository.commit("scale", **stacks(2))
    until(lambda: 2 in group.replicas(), "the apply is under way")
    group.controllers[second].signal(signal.SIGSTOP)
    until(lambda: group.replicas() == [2] * STACKS, "the next leader finishes it, too")
    third = group.leader()
    sent = len(group.writes(second))
    group.controllers[second].signal(signal.SIGCONT)
    group.controllers[second].await_line("leading ended")
    assert group.previous_replicas() == [1] * STACKS
    assert len(group.writes(second)) <= sent + 1, "who was paused may end the one call that it was in"
    assert third != second


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_leader_whose_engine_is_gone_gives_way(group: Group, repository: Repository):
    first = group.leader()
    group.controllers[first].await_line("pass decided", outcome="idle")
    group.proxies[first].cut.set()
    group.controllers[first].await_line("gives way")
    until(lambda: group.leader() != first, "another one leads")
    repository.commit("deploy", **stacks(1))
    until(lambda: len(group.replicas()) == STACKS, "it deploys")
