"""A repository of one stack, and a controller's shell that follows it on a swarm in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.lab.git_servers import Repository
from tests.unit.controller.loop.shell import Shell, stack, swarm


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("first", swarm_DOT_yaml=swarm("prod"), stacks__web_DOT_yaml=stack(0))
    return made


@pytest.fixture
async def shell(tmp_path: Path, repository: Repository) -> Shell:
    return Shell(tmp_path / "data", await a_quiet_swarm(), {"infra": repository})
