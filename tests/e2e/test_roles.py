"""Promotions and demotions on both backends: an apply ends when the nodes act as their new roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.program import Repository
from tests.lab.lab import Lab

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {{name: roles}}
spec:
  nodes:
{nodes}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Engines of their own: a manager that has been through hundreds of deployments may stall when another joins."""
    with Lab() as started:
        yield started


def swarm_with(roles: dict[str, str]) -> str:
    lines = [f"    - {{hostname: {name}, role: {role}}}" for name, role in roles.items()]
    return SWARM.format(nodes="\n".join(lines))


def reachability(backend: Backend) -> dict[str, str | None]:
    return {
        node["Description"]["Hostname"]: node.get("ManagerStatus", {}).get("Reachability")
        for node in backend.engine.nodes()
    }


def test_promoted_nodes_are_reachable_managers_and_demoted_ones_are_none(backend: Backend, tmp_path: Path):
    repository = Repository(tmp_path / "infra")
    backend.swarmctl.folder = repository.folder
    first, second, third = backend.hostnames()
    repository.commit({"swarm.yaml": swarm_with({first: "manager", second: "manager", third: "manager"})})
    backend.swarmctl.ok("apply", "--yes")
    assert reachability(backend) == {first: "reachable", second: "reachable", third: "reachable"}
    assert "No changes." in backend.swarmctl.ok("diff")

    repository.commit({"swarm.yaml": swarm_with({first: "manager", second: "worker", third: "worker"})})
    backend.swarmctl.ok("apply", "--yes")
    assert reachability(backend) == {first: "reachable", second: None, third: None}
    assert "No changes." in backend.swarmctl.ok("diff")


def test_the_last_manager_is_never_demoted(backend: Backend, tmp_path: Path):
    repository = Repository(tmp_path / "infra")
    backend.swarmctl.folder = repository.folder
    first = backend.hostnames()[0]
    repository.commit({"swarm.yaml": swarm_with({first: "worker"})})
    ended = backend.swarmctl("apply", "--yes")
    assert ended.code == 1
    assert "plan-blocked" in ended.text
    assert reachability(backend)[first] == "reachable"
