"""Drift told from intent on both backends: what was last applied is remembered by the swarm itself."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model import labels
from tests.e2e.conftest import Backend
from tests.e2e.program import Repository
from tests.lab.meddling import put_node, put_service

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: drift}
spec:
  policy: {prune: true, maxDeletePercent: 90}
"""

WEB = """\
version: "3.8"
services:
  api:
    image: swarmctl-test:1
    command: ["sleep", "3600"]
    environment: {RELEASE: "1"}
    configs: [{source: app, target: /app.ini}]
    deploy: {replicas: 0, endpoint_mode: dnsrr}
  extra:
    image: swarmctl-test:1
    command: ["sleep", "3600"]
    deploy: {replicas: 0, endpoint_mode: dnsrr}
networks:
  default: {}
configs:
  app: {file: app.ini}
"""


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "infra")
    made.commit({"swarm.yaml": SWARM, "stacks/web.yaml": WEB, "stacks/app.ini": "level = 1\n"})
    backend.swarmctl.folder = made.folder
    backend.swarmctl.ok("apply", "--yes", "--revision", "main")
    return made


def origins(backend: Backend) -> Iterator[tuple[str, str]]:
    """Yield (action or change, origin) of everything that a plan finds."""
    plan = json.loads(backend.swarmctl.ok("diff", "--format", "json", code=2))
    for action in plan["actions"]:
        yield action["id"], action["origin"]
        for change in action["changes"]:
            if action["action"] == "update":
                yield change["path"].rsplit(".", 1)[-1], change["origin"]


def by_hand(backend: Backend, name: str, change: object) -> None:
    """Update a service behind Git's back."""
    spec = copy.deepcopy(backend.service(name)["Spec"])
    change(spec)  # type: ignore[operator]
    put_service(backend.engine, name, spec)


def scale(spec: dict) -> None:
    spec["Mode"]["Replicated"]["Replicas"] = 3
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.none == here"]}


def forget(spec: dict) -> None:
    spec["Labels"] = {key: value for key, value in spec["Labels"].items() if key not in labels.OURS}


def test_a_plan_tells_who_moved(backend: Backend, repository: Repository):
    by_hand(backend, "web_api", scale)
    assert dict(origins(backend)) == {"service.web_api": "drift", "Replicas": "drift", "Constraints": "drift"}

    repository.commit({"stacks/web.yaml": WEB.replace('RELEASE: "1"', 'RELEASE: "2"')})
    found = dict(origins(backend))
    assert found == {
        "service.web_api": "both",
        "Env[RELEASE]": "intent",
        "Replicas": "drift",
        "Constraints": "drift",
    }
    backend.swarmctl.ok("apply", "--yes")
    assert "No changes." in backend.swarmctl.ok("diff")

    backend.engine.remove_service("web_extra")
    assert dict(origins(backend)) == {"service.web_extra": "drift"}
    backend.swarmctl.ok("apply", "--yes")

    by_hand(backend, "web_api", forget)
    assert "No changes." in backend.swarmctl.ok("diff"), "labels of ours that somebody dropped are no difference"
    repository.commit({"stacks/web.yaml": WEB})
    assert dict(origins(backend)) == {"service.web_api": "unknown", "Env[RELEASE]": "unknown"}


def test_what_somebody_rolled_back_by_hand_is_drift(backend: Backend, repository: Repository):
    repository.commit({"stacks/web.yaml": WEB.replace('RELEASE: "1"', 'RELEASE: "2"')})
    backend.swarmctl.ok("apply", "--yes")
    service = backend.service("web_api")
    url = backend.engine._url("/services/{0}/update", service["ID"])
    asked = {"version": service["Version"]["Index"], "rollback": "previous"}
    backend.engine._raise_for_status(backend.engine._post_json(url, data=service["Spec"], params=asked))
    assert dict(origins(backend)) == {"service.web_api": "drift", "Env[RELEASE]": "drift"}
    backend.swarmctl.ok("apply", "--yes")
    assert "No changes." in backend.swarmctl.ok("diff")


def test_a_plan_tells_who_moved_a_node_or_a_setting(backend: Backend, repository: Repository):
    asked = (
        SWARM
        + """\
  settings: {taskHistoryLimit: 4}
  nodes: [{hostname: node2, labels: {zone: a}}]
"""
    )
    repository.commit({"swarm.yaml": asked})
    assert set(dict(origins(backend)).values()) == {"unknown"}, "nothing is recorded of them yet"
    backend.swarmctl.ok("apply", "--yes")

    put_node(backend.engine, "node2", Labels={"zone": "by-hand"})
    repository.commit({"swarm.yaml": asked.replace("Limit: 4", "Limit: 6")})
    assert dict(origins(backend)) == {
        "swarm.default": "intent",
        "TaskHistoryRetentionLimit": "intent",
        "node.node2": "drift",
        'Labels["zone"]': "drift",
    }
    backend.swarmctl.ok("apply", "--yes")
    assert "No changes." in backend.swarmctl.ok("diff")


@pytest.mark.engine
def test_what_docker_stack_deploy_took_over_is_no_change_and_still_ours_to_prune(
    backend: Backend, repository: Repository
):
    files = str(repository.folder / "stacks" / "web.yaml")
    command = ["docker", "--host", backend.swarmctl.environment["DOCKER_HOST"]]
    deployed = subprocess.run(
        [*command, "stack", "deploy", "--resolve-image", "never", "-c", files, "web"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert deployed.returncode == 0, deployed.stderr
    assert labels.OWNER not in backend.service("web_extra")["Spec"]["Labels"]
    assert "No changes." in backend.swarmctl.ok("diff")

    repository.commit({"stacks/web.yaml": WEB[: WEB.index("  extra:")] + WEB[WEB.index("networks:") :]})
    plan = json.loads(backend.swarmctl.ok("diff", "--format", "json", code=2))
    assert [(action["action"], action["id"]) for action in plan["actions"]] == [("delete", "service.web_extra")]
    backend.swarmctl.ok("apply", "--yes")
    assert [service["Spec"]["Name"] for service in backend.engine.services()] == ["web_api"]
