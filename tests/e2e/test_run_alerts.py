"""What people are told through `swarmctl run` of deploys that go well and badly, and of a node that goes and comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import until
from tests.e2e.test_run_drift import followed, reasons
from tests.fakes.chat import Chat, running_chat
from tests.lab.engine import Engine
from tests.lab.git_servers import Repository
from tests.lab.lab import Lab

SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {policy: {prune: true}}\n"
STACK = """ATOMIC
services:
  api:
    image: swarmctl-test:1
    command: COMMAND
    networks: []
    stop_grace_period: 100ms
    deploy:
      replicas: 1
      endpoint_mode: dnsrr
      placement: {constraints: [node.role == manager]}
      update_config: {monitor: 100ms, failure_action: continue}
      restart_policy: {condition: any, delay: 100ms}
"""
GOOD, BAD = "sleep 100000", "sh -c 'exit 3'"


def stack(command: str, *, atomic: bool = False) -> str:
    return STACK.replace("ATOMIC", "x-swarmctl: {rollback: stack}" if atomic else "").replace("COMMAND", command)


def titles(chat: Chat) -> list[str]:
    return [post.body["title"].removeprefix("[prod] ") for post in chat.posts]


@contextmanager
def ended_engine(engine: Engine) -> Iterator[None]:
    """An engine that is gone meanwhile."""
    engine.end(signal.SIGTERM)
    try:
        yield
    finally:
        engine.start_again()
        engine.wait()


@pytest.mark.parametrize("backend", [pytest.param("docker", marks=pytest.mark.engine)], indirect=True)
def test_each_incident_is_told_once_and_its_end_once(backend: Backend, lab: Lab, tmp_path: Path):
    repository = Repository.make(tmp_path)
    repository.commit("first", swarm_DOT_yaml=SWARM, stacks__web_DOT_yaml=stack(GOOD))
    with running_chat() as chat:
        (tmp_path / "chat").write_text(f"json://127.0.0.1:{chat.port}/")
        sinks = [{"name": "chat", "urlFile": str(tmp_path / "chat")}]
        with followed(backend, tmp_path, repository, alerts={"sinks": sinks}) as controller:
            until(lambda: titles(chat) == ["Deployed: web"], "the first deploy is told")
            with ended_engine(lab.workers[-1]):
                name = lab.workers[-1].name
                bad = repository.commit("bad", stacks__web_DOT_yaml=stack(BAD))
                until(lambda: "Failed: web" in titles(chat), "a deploy that fails is told")
                until(lambda: f"Node trouble: {name}" in titles(chat), "a node that is down is told")
                assert "node-down" in reasons(controller).values()
                assert reasons(controller)["web"] == "tasks-failing"
            until(lambda: f"Node is back: {name}" in titles(chat), "it is back")
            repository.commit("good", stacks__web_DOT_yaml=stack(GOOD))
            until(lambda: "Works again: web" in titles(chat), "it works again")
            repository.commit("atomic", stacks__web_DOT_yaml=stack(GOOD, atomic=True))
            repository.commit("bad again", stacks__web_DOT_yaml=stack(BAD, atomic=True))
            until(lambda: "Rolled back: web" in titles(chat), "a stack that was put back is told")
            expected = ["Failed: web", f"Node is back: {name}", f"Node trouble: {name}", "Rolled back: web"]
            told = sorted(one for one in titles(chat) if not one.startswith("Deployed"))
            assert told == [*expected, "Works again: web"]
            failed = next(post.body["message"] for post in chat.posts if "Failed" in post.body["title"])
            assert f"git revert {bad[:12]}" in failed
