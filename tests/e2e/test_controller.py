"""`swarmctl run` as a process: one controller, a real repository, a swarm of either backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.lab.git_servers import Repository

SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {policy: {prune: true}}\n"
WEB = """services:
  api:
    image: %s
    command: ["sleep", "100000"]
    deploy: {replicas: 2, update_config: {monitor: 0s}}
"""


@pytest.fixture
def web(backend: Backend, request: pytest.FixtureRequest) -> str:
    image = request.getfixturevalue("lab").image if backend.name == "docker" else "busybox"
    return WEB % image


@pytest.fixture
def repository(tmp_path: Path, web: str) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("first", swarm_DOT_yaml=SWARM, stacks__web_DOT_yaml=web)
    return made


def replicas(backend: Backend) -> int:
    return backend.service("web_api")["Spec"]["Mode"]["Replicated"]["Replicas"]


def test_a_commit_converges_drift_is_healed_and_a_killed_controller_goes_on(
    backend: Backend, repository: Repository, web: str, tmp_path: Path
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

        repository.commit("scale", stacks__web_DOT_yaml=web.replace("replicas: 2", "replicas: 3"))
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
