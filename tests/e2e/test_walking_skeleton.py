"""From a commit to a converged cluster and back after drift, on both backends, with the real program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.program import Repository
from tests.lab.meddling import put_node, put_service

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {{name: e2e}}
spec:
  settings: {{taskHistoryLimit: 4}}
  nodes:
    - {{hostname: {worker}, role: worker, labels: {{disk: ssd}}}}
  networks:
    backbone: {{driver: overlay, attachable: true}}
  stacks:
    - {{path: stacks/web.yaml, dependsOn: [base]}}
    - {{path: stacks/base.yaml}}
  policy: {{prune: true, maxDeletePercent: 90}}
"""

WEB = """\
version: "3.8"
services:
  api:
    image: swarmctl-test:1
    command: sh -c 'exec sleep 3600'
    environment: {RELEASE: "1"}
    stop_grace_period: 1s
    stop_signal: SIGKILL
    networks: [backbone]
    configs: [{source: app, target: /app.ini}]
    secrets: [key]
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      restart_policy: {delay: 200ms}
      update_config: {monitor: 500ms}
networks:
  backbone: {external: true, name: backbone}
configs:
  app: {file: app.ini}
secrets:
  key: {file: key.txt}
"""

BASE = """\
version: "3.8"
services:
  pulse:
    image: swarmctl-test:1
    command: ["sleep", "3600"]
    stop_signal: SIGKILL
    deploy:
      mode: global
      endpoint_mode: dnsrr
      placement: {constraints: [node.labels.disk == ssd]}
      update_config: {monitor: 500ms}
"""


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "infra")
    worker = next(
        node["Description"]["Hostname"] for node in backend.engine.nodes() if node["Spec"]["Role"] == "worker"
    )
    made.commit(
        {
            "swarm.yaml": SWARM.format(worker=worker),
            "stacks/web.yaml": WEB,
            "stacks/base.yaml": BASE,
            "stacks/app.ini": "level = 1\n",
            "stacks/key.txt": "s3cr3t-value-one",
        }
    )
    backend.swarmctl.folder = made.folder
    return made


def test_a_commit_becomes_a_converged_cluster_and_a_second_apply_writes_nothing(
    backend: Backend, repository: Repository
):
    swarmctl = backend.swarmctl
    plan = swarmctl.ok("diff", "--revision", "main", code=2)
    assert "Plan: 6 to add, 2 to change, 0 to destroy." in plan
    assert "s3cr3t" not in plan
    assert backend.engine.services() == [], "diff writes nothing"

    applied = swarmctl.ok("apply", "--revision", "main", "--yes")
    assert "Apply complete: 6 added, 2 changed" in applied
    assert "s3cr3t" not in applied
    assert len(backend.running("web_api")) == 2
    assert len(backend.running("base_pulse")) == 1
    assert applied.index("service.base_pulse: created") < applied.index("service.web_api: creating")
    assert backend.engine.inspect_swarm()["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 4

    before = backend.versions()
    assert "No changes." in swarmctl.ok("diff")
    assert "No changes." in swarmctl.ok("apply", "--yes")
    assert backend.versions() == before
    status = swarmctl.ok("status", ".")
    assert status.count("in sync") == 3


def test_a_change_in_git_is_shown_by_field_and_rolled_out(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    swarmctl.ok("apply", "--yes")
    old_tasks = {task["ID"] for task in backend.running("web_api")}
    repository.commit(
        {
            "stacks/web.yaml": WEB.replace("replicas: 2", "replicas: 3").replace('RELEASE: "1"', 'RELEASE: "2"'),
            "stacks/app.ini": "level = 2\n",
            "stacks/key.txt": "s3cr3t-value-two",
        }
    )
    plan = swarmctl.ok("diff", code=2)
    assert 'TaskTemplate.ContainerSpec.Env[RELEASE] = "1" -> "2"' in plan
    assert "Mode.Replicated.Replicas = 2 -> 3" in plan
    assert "+level = 2" in plan
    assert "s3cr3t" not in plan
    assert "Plan: 2 to add, 1 to change, 0 to destroy." in plan

    swarmctl.ok("apply", "--yes")
    new_tasks = backend.running("web_api")
    assert len(new_tasks) == 3
    assert old_tasks.isdisjoint(task["ID"] for task in new_tasks)
    assert all("RELEASE=2" in task["Spec"]["ContainerSpec"]["Env"] for task in new_tasks)
    assert "No changes." in swarmctl.ok("diff")


def test_drift_is_found_by_field_and_repaired(backend: Backend, repository: Repository):
    swarmctl, engine = backend.swarmctl, backend.engine
    swarmctl.ok("apply", "--yes")
    spec = backend.service("web_api")["Spec"]
    spec["TaskTemplate"]["ContainerSpec"]["Env"] = ["RELEASE=1", "DEBUG=yes"]
    put_service(engine, "web_api", {**spec, "Mode": {"Replicated": {"Replicas": 1}}})
    node = next(node for node in engine.nodes() if node["Spec"]["Labels"].get("disk"))
    put_node(engine, node["Description"]["Hostname"], Labels={"disk": "hdd"})

    plan = swarmctl.ok("diff", code=2)
    assert '- TaskTemplate.ContainerSpec.Env[DEBUG] = "yes" -> null' in plan
    assert "Mode.Replicated.Replicas = 1 -> 2" in plan
    assert '~ Labels["disk"] = "hdd" -> "ssd"' in plan
    swarmctl.ok("apply", "--yes")
    assert len(backend.running("web_api")) == 2
    assert "DEBUG=yes" not in backend.service("web_api")["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    assert "No changes." in swarmctl.ok("diff")


def test_what_leaves_git_is_pruned_and_nothing_else(backend: Backend, repository: Repository):
    swarmctl, engine = backend.swarmctl, backend.engine
    swarmctl.ok("apply", "--yes")
    by_hand = engine.create_service(
        {"ContainerSpec": {"Image": "swarmctl-test:1", "Command": ["sleep", "3600"], "StopSignal": "SIGKILL"}},
        name="by-hand",
    )
    swarm = (repository.folder / "swarm.yaml").read_text()
    repository.commit(
        {
            "stacks/web.yaml": None,
            "swarm.yaml": swarm.replace("    - {path: stacks/web.yaml, dependsOn: [base]}\n", ""),
        }
    )
    applied = swarmctl.ok("apply", "--yes")
    assert "3 destroyed" in applied, applied
    names = {service["Spec"]["Name"] for service in engine.services()}
    assert names == {"base_pulse", "by-hand"}
    assert engine.secrets() == []
    assert engine.configs() == []
    assert by_hand["ID"]
    assert "No changes." in swarmctl.ok("diff")


def test_an_older_revision_is_read_without_touching_the_work_tree(backend: Backend, repository: Repository):
    first = repository.git("rev-parse", "HEAD")
    backend.swarmctl.ok("apply", "--yes")
    repository.commit({"stacks/web.yaml": WEB.replace("replicas: 2", "replicas: 5")})
    (repository.folder / "stacks/web.yaml").write_text("broken: [")
    (repository.folder / "untracked.txt").write_text("mine")
    assert "No changes." in backend.swarmctl.ok("diff", "--revision", first)
    assert "Replicas = 2 -> 5" in backend.swarmctl.ok("diff", "--revision", "main", code=2)
    assert (repository.folder / "stacks/web.yaml").read_text() == "broken: ["
    assert (repository.folder / "untracked.txt").read_text() == "mine"


def test_a_service_that_cannot_start_ends_the_apply_with_its_reason(backend: Backend, repository: Repository):
    repository.commit({"stacks/web.yaml": WEB.replace("replicas: 2", "placement: {constraints: [node.labels.x == y]}")})
    ended = backend.swarmctl("apply", "--yes", "--timeout", "15")
    assert ended.code == 7
    assert "[unschedulable]" in ended.err
    assert "no suitable node (scheduling constraints not satisfied on 3 nodes)" in ended.err
    repository.commit({"stacks/web.yaml": WEB})
    backend.swarmctl.ok("apply", "--yes")


def test_nothing_is_written_unless_confirmed(backend: Backend, repository: Repository):
    ended = backend.swarmctl("apply")
    assert ended.code == 1
    assert "not-confirmed" in ended.err
    dry = backend.swarmctl("apply", "--dry-run", "--yes")
    assert dry.code == 0
    assert backend.engine.services() == []


def test_a_lone_stack_file_is_deployed_by_itself(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    base = BASE.replace("mode: global", "replicas: 1").replace("constraints: [node.labels.disk == ssd]", "")
    repository.commit({"stacks/base.yaml": base})
    swarmctl.ok("apply", "--yes", "stacks/base.yaml", "--stack-name", "solo")
    assert len(backend.running("solo_pulse")) == 1
    assert "No changes." in swarmctl.ok("diff", "stacks/base.yaml", "--stack-name", "solo")


def test_a_paused_update_is_no_convergence_until_its_cause_is_gone(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    paused = WEB.replace("update_config: {monitor: 500ms}", "update_config: {monitor: 500ms, failure_action: pause}")
    repository.commit({"stacks/web.yaml": paused})
    swarmctl.ok("apply", "--yes")
    repository.commit({"stacks/web.yaml": paused.replace("exec sleep 3600", "exit 3")})
    first = swarmctl("apply", "--yes")
    assert (first.code, "update paused" in first.err) == (4, True), first.text
    assert "its update was paused" in swarmctl.ok("diff", code=2)
    again = swarmctl("apply", "--yes", "--timeout", "120")
    assert again.code in (4, 6), again.text  # paused once more, or by now no task of the former spec is left
    repository.commit({"stacks/web.yaml": paused})
    swarmctl.ok("apply", "--yes")
    assert len(backend.running("web_api")) == 2
    assert "No changes." in swarmctl.ok("diff")


def test_an_apply_without_changes_still_awaits_what_an_earlier_one_left_unfinished(
    backend: Backend, repository: Repository
):
    stuck = WEB.replace("replicas: 2", "placement: {constraints: [node.labels.x == y]}")
    repository.commit({"stacks/web.yaml": stuck})
    assert backend.swarmctl("apply", "--yes", "--no-wait").code == 0
    waiting = backend.swarmctl("apply", "--yes", "--timeout", "1")
    assert waiting.code == 7
    assert "No changes." in waiting.out
    assert "no suitable node" in waiting.err
