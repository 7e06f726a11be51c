"""`swarmctl run` as a process: one controller, a real repository, a swarm of either backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.lab.git_servers import Repository

SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {policy: {prune: true}}\n"
WEB = """services:
  api:
    image: swarmctl-test:1
    command: ["sleep", "100000"]
    stop_grace_period: 100ms
    deploy: {replicas: 2, endpoint_mode: dnsrr, update_config: {monitor: 100ms}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("first", swarm_DOT_yaml=SWARM, stacks__web_DOT_yaml=WEB)
    return made


def replicas(backend: Backend) -> int:
    return backend.service("web_api")["Spec"]["Mode"]["Replicated"]["Replicas"]


def test_a_commit_converges_drift_is_healed_and_a_killed_controller_goes_on(
    backend: Backend, repository: Repository, tmp_path: Path
):
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "500ms"}
    controller = Controller(tmp_path / "c", {"cluster": {"host": backend.host}, "sources": [source]})
    with ended(controller):
        controller.start().await_line("pass decided", outcome="idle", stalled=0)
        assert len(backend.running("web_api")) == 2

        versions, count = backend.versions(), len(controller.passes())
        until(lambda: len(controller.passes()) >= count + 3, "three further passes")
        assert backend.versions() == versions
        assert {one["outcome"] for one in controller.passes()[count:]} == {"idle"}

        repository.commit("scale", stacks__web_DOT_yaml=WEB.replace("replicas: 2", "replicas: 3"))
        until(lambda: len(backend.running("web_api")) == 3, "the commit is applied")

        controller.kill()
        found = backend.service("web_api")
        spec = {**found["Spec"], "Mode": {"Replicated": {"Replicas": 1}}}
        backend.engine._post_json(
            backend.engine._url("/services/{0}/update", found["ID"]),
            data=spec,
            params={"version": found["Version"]["Index"]},
        )
        begun = len(controller.lines("leading"))
        controller.start().await_line("leading", count=begun + 1)
        until(lambda: replicas(backend) == 3, "drift is healed by the next process")
        assert controller.stop() == 0


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_people_ask_a_running_controller(backend: Backend, repository: Repository, tmp_path: Path):
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "10m"}
    (tmp_path / "secret").write_text("s3cret-of-the-webhook\n")
    webhooks = [{"forge": "generic", "secretFile": str(tmp_path / "secret")}]
    spec = {"name": "prod", "cluster": {"host": backend.host}, "sources": [source], "webhooks": webhooks}
    controller = Controller(tmp_path / "c", spec)
    backend.swarmctl.environment["SWARMCTL_CONTROLLER"] = f"unix://{controller.socket}"
    ask = backend.swarmctl.ok
    with ended(controller):
        controller.start().await_line("pass decided", outcome="idle", stalled=0)
        first = repository.git("rev-parse", "HEAD")
        assert "converged" in ask("status")
        assert f"{first[:12]}" in ask("history")

        task = backend.running("web_api")[0]["ID"]
        traced = json.loads(ask("trace", task[:12], "--format", "json"))
        assert (traced["service"], traced["stack"], traced["commit"]) == ("web_api", "web", first)
        assert (traced["file"], traced["line"]) == ("stacks/web.yaml", 2)

        ask("suspend", "web", "--reason", "we look into it")
        second = repository.commit("scale", stacks__web_DOT_yaml=WEB.replace("replicas: 2", "replicas: 3"))
        refused = controller.webhook({"source": "infra"}, "wrong")
        assert refused == 401
        assert controller.webhook({"source": "infra"}, "s3cret-of-the-webhook") == 202
        controller.await_line("pass decided", outcome="holds", waiting="web:suspended")
        assert controller.webhook({"source": "infra"}, "s3cret-of-the-webhook") == 202
        assert replicas(backend) == 2
        assert "we look into it" in ask("status")

        ask("resume", "web")
        until(lambda: replicas(backend) == 3, "what was suspended goes on")
        until(lambda: second[:12] in ask("history"), "the apply is in the history")
        assert first[:12] in ask("rollback", "web")
        until(lambda: replicas(backend) == 2, "the stack is back at what it was")
        assert "rolled back" in until(lambda: "rolled back" in ask("status") and ask("status"), "it is suspended")
        backend.swarmctl.ok("rollback", "nothing-like-it", code=1)
        assert "rollback" in ask("events")
        log = (controller.folder / "log").read_text()
        assert "s3cret" not in log
