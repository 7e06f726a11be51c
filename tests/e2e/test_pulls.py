"""Images that nodes pull: from a private registry with credentials handed on, and as a saved plan has pinned them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import ExitCode
from tests.e2e.program import Program
from tests.lab.lab import Lab
from tests.lab.registry import Registry
from tests.lab.swept import sweep

pytestmark = pytest.mark.engine

USER, PASSWORD = "anna", "s3cret-of-anna"
ENTRY = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

STACK = """\
services:
  app:
    image: {image}
    command: sleep 3600
    stop_signal: SIGKILL
    deploy:
      endpoint_mode: dnsrr
      placement: {{constraints: ["node.hostname == {node}"]}}
      restart_policy: {{max_attempts: 1, delay: 100ms}}
      update_config: {{monitor: 300ms}}
"""


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    """A registry that the manager and a worker reach, each at the same address."""
    with Registry(lab.manager.cell, (lab.workers[0].cell,)) as started:
        yield started
    sweep(lab)


@pytest.fixture
def swarmctl(lab: Lab, tmp_path: Path) -> Program:
    (tmp_path / "docker").mkdir()
    return Program(tmp_path, {"DOCKER_HOST": lab.manager.host, "DOCKER_CONFIG": str(tmp_path / "docker")})


def write_stack(swarmctl: Program, image: str, lab: Lab) -> None:
    text = STACK.format(image=image, node=lab.workers[0].name)
    (swarmctl.folder / "shop.yaml").write_text(text)


def running(lab: Lab) -> list[str]:
    """The images that the stack's running tasks were started from."""
    with lab.manager.client() as client:
        tasks = client.tasks(filters={"service": "shop_app", "desired-state": "running"})
    return [task["Spec"]["ContainerSpec"]["Image"] for task in tasks if task["Status"]["State"] == "running"]


def test_a_saved_plan_runs_the_digests_that_were_reviewed_though_the_tag_has_moved(
    lab: Lab, registry: Registry, swarmctl: Program
) -> None:
    image = f"{registry.address}/team/reviewed:1"
    write_stack(swarmctl, image, lab)
    reviewed = registry.push_runnable("team/reviewed", "1", "reviewed")
    assert reviewed[:19] in swarmctl.ok("diff", "shop.yaml", "--out", "plan.json", code=ExitCode.CHANGES)
    moved = registry.push_runnable("team/reviewed", "1", "moved")
    registry.asked.clear()
    swarmctl.ok("apply", "plan.json")
    assert running(lab) == [f"{image}@{reviewed}"]
    assert not [path for path, _ in registry.asked if moved in path or path.endswith("/manifests/1")]

    always = ("--resolve-image", "always")
    swarmctl.ok("diff", "shop.yaml", *always, "--out", "plan.json", code=ExitCode.CHANGES)
    registry.push_runnable("team/reviewed", "1", "moved again")
    swarmctl.ok("apply", "plan.json")
    assert running(lab) == [f"{image}@{moved}"]


def test_a_worker_pulls_from_a_private_registry_with_credentials_that_are_handed_on_only(
    lab: Lab, registry: Registry, swarmctl: Program
) -> None:
    registry.login = f"{USER}:{PASSWORD}"
    began = int(time.time())
    image = f"{registry.address}/team/private:1"
    write_stack(swarmctl, image, lab)
    digest = registry.push_runnable("team/private", "1", "private")
    (swarmctl.folder / "docker/config.json").write_text(json.dumps({"auths": {registry.address: {"auth": ENTRY}}}))

    without = swarmctl("apply", "shop.yaml", "--yes")
    assert (without.code, "[tasks-failing]" in without.err) == (ExitCode.TASKS_FAILING, True), without.text
    assert "--with-registry-auth" in without.err
    assert running(lab) == []

    (swarmctl.folder / "shop.yaml").write_text(
        (swarmctl.folder / "shop.yaml").read_text() + "    stop_grace_period: 1s"
    )
    plan = swarmctl("diff", "shop.yaml", "--format", "json", "--out", "plan.json")
    applied = swarmctl("apply", "plan.json", "--with-registry-auth")
    assert applied.code == ExitCode.OK, applied.text
    assert running(lab) == [f"{image}@{digest}"]

    with lab.manager.client() as client:
        events = json.dumps([*client.events(since=began, until=int(time.time()) + 1, decode=True)])
        service = json.dumps(client.inspect_service("shop_app"))
    status = swarmctl("status", "shop.yaml")
    saved = (swarmctl.folder / "plan.json").read_text()
    for text in (without.text, plan.text, applied.text, status.text, saved, events, service):
        assert not [word for word in (PASSWORD, ENTRY) if word in text]
