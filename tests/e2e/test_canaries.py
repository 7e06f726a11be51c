"""One secret value at each place where people put one: it is in nothing that the program says, sends or keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.controllers import Controller, ended, until
from tests.e2e.program import Program
from tests.fakes.chat import running_chat
from tests.lab.git_servers import Repository

CANARY = "c4nary0ne"
SWARM = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec: {policy: {prune: true, drift: report}}
"""
WEB = """services:
  api:
    image: swarmctl-test:1
    command: ["sh", "-c", "exec sleep 100000", "sh", "--password=CANARY", "--token", "CANARY", "-p", "CANARY",
              "-e", "DB_PASSWORD=CANARY"]
    healthcheck: {test: "true || curl -H 'Authorization: Bearer CANARY' http://u:CANARY@localhost/", interval: 1s}
    environment: {DB_URL: "postgres://shop:CANARY@db/shop", DB_PASSWORD: CANARY, OPTIONS: "--api-key CANARY"}
    labels: {"hook": "https://u:CANARY@example.org/", "acme.token": CANARY}
    stop_grace_period: 100ms
    configs: [source]
    deploy:
      replicas: 1
      endpoint_mode: dnsrr
      labels: {"auth": "Authorization: Basic CANARY"}
      update_config: {monitor: 100ms}
configs:
  source: {file: source.ini}
"""
SOURCE = "url = https://u:CANARY@example.org/\npassword = CANARY\n"
BROKEN = """services:
  api:
    image: swarmctl-test:1
    command: ["/no/such/file?password=CANARY", "--password", "CANARY"]
    deploy: {replicas: 1, endpoint_mode: dnsrr, restart_policy: {condition: none}}
"""


@pytest.fixture
def backend(emptied: Backend) -> Backend:
    return emptied


def changed_by_hand(backend: Backend) -> None:
    found = backend.service("web_api")
    spec = json.loads(json.dumps(found["Spec"]).replace(CANARY, "c4nary-by-hand"))
    backend.engine._post_json(
        backend.engine._url("/services/{0}/update", found["ID"]),
        data=spec,
        params={"version": found["Version"]["Index"]},
    )


def said(program: Program, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    finished = program(*arguments)
    assert finished.code in codes, finished.text
    assert "c4nary" not in finished.text, f"{arguments}:\n{finished.text}"
    return finished.text


def kept(folder: Path) -> list[Path]:
    """The files that have the value in them, but for a repository's own."""
    files = [one for one in folder.rglob("*") if one.is_file() and "clones" not in one.parts]
    return [one for one in files if b"c4nary" in one.read_bytes()]


def test_plans_and_applies_show_no_secret_and_tell_two_apart(backend: Backend, tmp_path: Path):
    program = Program(tmp_path, backend.swarmctl.environment)
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    (tmp_path / "swarm.yaml").write_text(SWARM)
    (stacks / "web.yaml").write_text(WEB.replace("CANARY", CANARY))
    (stacks / "source.ini").write_text(SOURCE.replace("CANARY", CANARY))
    said(program, "diff", codes=(2,))
    said(program, "apply", "--yes", "--timeout", "60")
    (stacks / "web.yaml").write_text(WEB.replace("CANARY", "c4nary-tw0"))
    (stacks / "source.ini").write_text(SOURCE.replace("CANARY", "c4nary-tw0"))
    for form in ("text", "json", "markdown"):
        shown = said(program, "diff", "--format", form, codes=(2,))
        assert "(sensitive value, hash " in shown
        assert shown.count("--password=(sensitive value, hash ") >= 2
        assert len({part[:8] for part in shown.split("--password=(sensitive value, hash ")[1:]}) == 2, "old and new"
        assert "postgres://shop:(sensitive value, hash " in shown
    said(program, "diff", "--out", "plan.json", codes=(0, 2))
    assert "c4nary" not in (tmp_path / "plan.json").read_text()
    said(program, "apply", "plan.json", "--timeout", "60")
    command = backend.service("web_api")["Spec"]["TaskTemplate"]["ContainerSpec"]["Args"]
    assert "--password=c4nary-tw0" in command, "what is sent is the value itself"
    (stacks / "web.yaml").write_text(BROKEN.replace("CANARY", "c4nary-bad"))
    text = said(program, "apply", "--yes", "--timeout", "60", codes=(4, 6))
    assert "exec: " in text


def test_a_controller_tells_and_keeps_no_secret(backend: Backend, tmp_path: Path):
    repository = Repository.make(tmp_path)
    files = {"stacks__web_DOT_yaml": WEB, "stacks__source_DOT_ini": SOURCE}
    files = {name: text.replace("CANARY", CANARY) for name, text in files.items()}
    swarm = SWARM.replace("prod", "followed")  # the swarm remembers what the other test had of prod
    repository.commit("first", swarm_DOT_yaml=swarm, **files)
    source = {"name": "infra", "url": str(repository.bare), "ref": {"branch": "main"}, "interval": "300ms"}
    with running_chat() as chat:
        (tmp_path / "chat").write_text(f"json://127.0.0.1:{chat.port}/")
        alerts = {"sinks": [{"name": "chat", "urlFile": str(tmp_path / "chat")}]}
        spec: dict[str, Any] = {"cluster": {"host": backend.host}, "sources": [source], "alerts": alerts}
        controller = Controller(tmp_path / "c", {"name": "prod", **spec})
        program = Program(
            tmp_path, {**backend.swarmctl.environment, "SWARMCTL_CONTROLLER": f"unix://{controller.socket}"}
        )
        with ended(controller):
            controller.start().await_line("pass decided", outcome="idle", stalled=0)
            changed_by_hand(backend)
            until(lambda: any("Drift" in post.body["title"] for post in chat.posts), "drift is told")
            shown = said(program, "status")
            assert "service.web_api" in shown, "the table of drift"
            (drift,) = controller.get("/v1/status")["drifts"]
            pairs = [(one["applied"], one["found"]) for one in drift["differences"]]
            assert all(applied != found for applied, found in pairs), pairs
            assert sum("(sensitive value" in found for _, found in pairs) >= 5, pairs
            repository.commit("broken", stacks__web_DOT_yaml=BROKEN.replace("CANARY", CANARY))
            until(lambda: any("Failed" in post.body["title"] for post in chat.posts), "the failure is told")
            for command in ("status", "history", "events"):
                said(program, command, "--format", "json")
            assert "c4nary" not in str([post.body for post in chat.posts])
            assert controller.stop() == 0
    assert "c4nary" not in controller.log_end()
    assert kept(tmp_path / "c") == [], "its log and its store"
