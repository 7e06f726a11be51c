"""Stacks move between `docker stack deploy` and swarmctl without a change and without a restart.

A sample; `make parity CORPUS=DIR` does the same for a whole folder of stacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_field_walk import STACK as NEARLY_EVERY_KEY
from tests.lab.lab import Lab
from tests.parity.on_engine import Deployment, SharedEngine, changes_after_docker, restarts_after_us

pytestmark = pytest.mark.engine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "stacks" / "stacks"

OVERRIDE = """\
version: "3.9"
services:
  full: {environment: [B=9], deploy: {replicas: 1}}
"""


@pytest.fixture
def engine(lab: Lab) -> Iterator[SharedEngine]:
    shared = SharedEngine(lab.manager.host)
    shared.set_availability("drain")
    yield shared
    shared.clear()
    shared.set_availability("active")


@pytest.fixture(params=["site", "watch", "every key", "two files"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Deployment:
    if request.param in ("site", "watch"):
        for file in EXAMPLES.rglob("*"):
            if file.is_file():
                target = tmp_path / file.relative_to(EXAMPLES)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read_bytes())
        return Deployment(request.param, tmp_path, (f"{request.param}.yaml",), {}, {"network": ["public"]})
    (tmp_path / "base.yaml").write_text(NEARLY_EVERY_KEY)
    (tmp_path / "more.yaml").write_text(OVERRIDE)
    (tmp_path / "app.ini").write_text("x = 1\n")
    files = ("base.yaml",) if request.param == "every key" else ("base.yaml", "more.yaml")
    return Deployment("w", tmp_path, files, {})


def test_what_docker_deployed_is_no_change(engine: SharedEngine, deployment: Deployment):
    assert changes_after_docker(engine, deployment) == []
    assert engine.client.services()


def test_what_we_applied_restarts_no_task_when_docker_deploys_it(engine: SharedEngine, deployment: Deployment):
    assert restarts_after_us(engine, deployment) == []
    assert engine.client.services()
