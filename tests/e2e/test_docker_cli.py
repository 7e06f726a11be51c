"""The unmodified docker CLI drives the embedded swarm."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.api import serve
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm

COMMAND_WAIT_S = 60.0
STACK = """
services:
  app:
    image: any:1
    command: sh -c 'cat run/secrets/key; sleep 1000'
    stop_grace_period: 1s
    networks: [inside]
    secrets: [key]
    deploy: {replicas: 2}
networks: {inside: {}}
secrets: {key: {file: ./key}}
"""


@dataclass(frozen=True)
class Docker:
    """Runs `docker` against one host; `run` fails on a non-zero exit, `fail` on zero."""

    host: str
    folder: Path

    async def _execute(self, words: tuple[str, ...]) -> tuple[int, str]:
        environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": self.host, "HOME": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            "docker",
            *words,
            env=environment,
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), COMMAND_WAIT_S)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def run(self, *words: str) -> str:
        status, output = await self._execute(words)
        assert status == 0, f"docker {' '.join(words)}: {output}"
        return output.strip()

    async def fail(self, *words: str) -> str:
        status, output = await self._execute(words)
        assert status != 0, f"docker {' '.join(words)} should have failed: {output}"
        return output.strip()

    async def until(self, expected: str, *words: str) -> None:
        """Run a command until it prints `expected`."""
        for _ in range(100):
            output = await self.run(*words)
            if output == expected:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"docker {' '.join(words)} never said {expected!r}, but {output!r}")


@pytest.fixture
async def docker(tmp_path: Path) -> AsyncIterator[Docker]:
    if shutil.which("docker") is None:
        reason = "there is no docker CLI"
        if os.environ.get("REQUIRE_ENGINES") == "1":
            pytest.fail(f"REQUIRE_ENGINES=1, but {reason}")
        pytest.skip(reason)
    settings = EmbeddedSettings(data_dir=str(tmp_path / "swarm"))
    async with (
        await start_embedded_swarm(settings) as swarm,
        serve(swarm.cluster, f"unix://{tmp_path}/api.sock") as server,
    ):
        yield Docker(server.host, tmp_path)


async def test_nodes_and_the_swarm(docker: Docker) -> None:
    assert await docker.run("version", "--format", "{{.Server.APIVersion}}") == "1.47"
    assert await docker.run("info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.Nodes}}") == "active 3"
    listed = (await docker.run("node", "ls", "--format", "{{.Hostname}} {{.Self}} {{.ManagerStatus}}")).splitlines()
    assert sorted(line.rstrip() for line in listed) == ["node1 true Leader", "node2 false", "node3 false"]

    await docker.run("node", "update", "--label-add", "disk=ssd", "--availability", "drain", "node2")
    shown = await docker.run("node", "inspect", "node2", "--format", "{{.Spec.Labels.disk}} {{.Spec.Availability}}")
    assert shown == "ssd drain"
    await docker.run("swarm", "update", "--task-history-limit", "2")
    limit = "{{.Swarm.Cluster.Spec.Orchestration.TaskHistoryRetentionLimit}}"
    assert await docker.run("info", "--format", limit) == "2"
    assert "already part of a swarm" in await docker.fail("swarm", "init")


async def test_the_life_of_a_service(docker: Docker) -> None:
    create = ("service", "create", "--quiet", "--name", "web", "--replicas", "2", "--stop-grace-period", "1s")
    # Not detached: the CLI follows the rollout until it has converged and been stable for five seconds.
    await docker.run(*create, "any:1", "sh", "-c", "echo ready; sleep 1000")
    assert await docker.run("service", "ls", "--format", "{{.Name}} {{.Mode}} {{.Replicas}}") == "web replicated 2/2"
    tasks = await docker.run("service", "ps", "web", "--format", "{{.Name}} {{.DesiredState}} {{.Error}}")
    assert [line.strip() for line in tasks.splitlines()] == ["web.1 Running", "web.2 Running"]
    assert "ready" in await docker.run("service", "logs", "web")

    await docker.run("service", "scale", "--detach", "web=3")
    await docker.until("3/3", "service", "ls", "--format", "{{.Replicas}}")
    await docker.run("service", "update", "--detach", "--env-add", "A=1", "web")
    env = ("service", "inspect", "web", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Env}}")
    assert await docker.run(*env) == "[A=1]"
    await docker.run("service", "rollback", "--detach", "web")
    assert await docker.run(*env) == "[]"
    assert "Replicas:\t3" in await docker.run("service", "inspect", "--pretty", "web")

    failure = await docker.fail("service", "create", "--detach", "--name", "web", "any:1")
    assert "Error response from daemon: rpc error" in failure or "already exists" in failure
    assert "{" not in failure
    await docker.run("service", "rm", "web")
    assert await docker.run("service", "ls", "--quiet") == ""
    assert "no such service: web" in await docker.fail("service", "inspect", "web")


async def test_networks_secrets_and_configs(docker: Docker) -> None:
    (docker.folder / "file").write_text("content")
    await docker.run("network", "create", "--driver", "overlay", "inside")
    await docker.run("secret", "create", "key", "file")
    await docker.run("config", "create", "conf", "file")
    assert set((await docker.run("network", "ls", "--format", "{{.Name}}")).splitlines()) >= {"ingress", "inside"}
    assert await docker.run("secret", "ls", "--format", "{{.Name}}") == "key"
    assert await docker.run("config", "inspect", "conf", "--format", "{{json .Spec.Data}}") == '"Y29udGVudA=="'

    create = ("service", "create", "--detach", "--name", "user", "--stop-grace-period", "1s")
    uses = ("--network", "inside", "--secret", "key", "--config", "conf")
    await docker.run(*create, *uses, "any:1", "sleep", "1000")
    assert "is in use by" in await docker.fail("secret", "rm", "key")
    assert "is in use by" in await docker.fail("network", "rm", "inside")
    await docker.run("service", "rm", "user")
    await docker.run("secret", "rm", "key")
    await docker.run("config", "rm", "conf")
    await docker.run("network", "rm", "inside")


async def test_a_stack(docker: Docker) -> None:
    (docker.folder / "stack.yaml").write_text(STACK)
    (docker.folder / "key").write_text("hush\n")
    await docker.run("stack", "deploy", "--detach", "--compose-file", "stack.yaml", "shop")
    await docker.until("shop_app 2/2", "stack", "services", "shop", "--format", "{{.Name}} {{.Replicas}}")
    assert await docker.run("stack", "ls", "--format", "{{.Name}} {{.Services}}") == "shop 1"
    tasks = (await docker.run("stack", "ps", "shop", "--format", "{{.Name}}")).splitlines()
    assert tasks == ["shop_app.1", "shop_app.2"]
    before = await docker.run("stack", "ps", "shop", "--quiet")
    await docker.run("stack", "deploy", "--detach", "--compose-file", "stack.yaml", "shop")
    assert await docker.run("stack", "ps", "shop", "--quiet") == before

    await docker.run("service", "rm", "shop_app")
    await docker.until("", "node", "ps", "--quiet", "node1", "node2", "node3")
    await docker.run("stack", "rm", "shop")
    assert await docker.run("service", "ls", "--quiet") == ""
    assert await docker.run("secret", "ls", "--quiet") == ""
    assert await docker.run("network", "ls", "--format", "{{.Name}}", "--filter", "name=shop") == ""
