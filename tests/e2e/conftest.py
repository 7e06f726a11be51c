"""The two backends as a user has them: an address for DOCKER_HOST, and a side door to look and meddle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.e2e.program import Program
from tests.lab.git_servers import Repository
from tests.lab.swept import sweep


@dataclass
class Backend:
    """A running swarm of three nodes. `engine` is a plain SDK client: what somebody behind Git's back would use."""

    name: str
    host: str
    engine: docker.APIClient
    swarmctl: Program

    def service(self, name: str) -> dict:
        return self.engine.inspect_service(name)

    def running(self, service: str) -> list[dict]:
        """The tasks of a service that run and are wanted to."""
        return [
            task
            for task in self.engine.tasks(filters={"service": service, "desired-state": "running"})
            if task["Status"]["State"] == "running"
        ]

    def versions(self) -> dict[str, int]:
        """{id: version index} of everything that a plan can write to: a write moves one of them.

        Nodes' and the swarm's own specs stand in for their versions, which the swarm itself moves.
        """
        found: dict[str, int] = {}
        for listed in (self.engine.services(), self.engine.secrets(), self.engine.configs()):
            found |= {one["ID"]: one["Version"]["Index"] for one in listed}
        found |= {one["Id"]: one["Created"] for one in self.engine.networks() if one["Scope"] == "swarm"}
        found |= {one["ID"]: str(one["Spec"]) for one in self.engine.nodes()}
        return found

    def hostnames(self) -> list[str]:
        return sorted(node["Description"]["Hostname"] for node in self.engine.nodes())


@pytest.fixture(params=["embedded", pytest.param("docker", marks=pytest.mark.engine)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each backend in turn, with nothing deployed."""
    swarmctl = Program(tmp_path, {"SWARMCTL_DATA_DIR": str(tmp_path / "swarm")})
    if request.param == "docker":
        lab = request.getfixturevalue("lab")
        host = lab.manager.host
    else:
        host = swarmctl.ok("up", "--nodes", "3").split("DOCKER_HOST=")[1].split()[0]
    swarmctl.environment["DOCKER_HOST"] = host
    engine = docker.APIClient(base_url=host, version="auto", timeout=60)
    try:
        yield Backend(request.param, host, engine, swarmctl)
    finally:
        if request.param == "docker":
            sweep(lab)
        engine.close()
        if request.param == "embedded":
            swarmctl.ok("down")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """An embedded swarm of one node, one for the whole run. Tests ask for `emptied`."""
    from tests.e2e.followed import small_swarm  # it imports this file

    with small_swarm(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture
def emptied(small: Backend) -> Iterator[Backend]:
    """The swarm of one node, with nothing deployed. A file whose tests all want it calls it its `backend`."""
    from tests.e2e.followed import clear

    yield small
    clear(small)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository of one commit and its bare remote. Files with a repository of their own call that so, too."""
    made = Repository.make(tmp_path)
    made.commit("first", swarm_DOT_yaml="first\n", stacks__web_DOT_yaml="services: {}\n")
    return made
