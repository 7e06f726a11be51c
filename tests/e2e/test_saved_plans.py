"""`diff --out` and `apply FILE`: that plan is carried out, or none; and plans of parts of a repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Backend
from tests.e2e.program import Repository
from tests.lab.meddling import put_service

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: saved}
spec: {policy: {prune: true}}
"""

STACK = """\
services:
  app:
    image: swarmctl-test:1
    command: sleep 3600
    stop_signal: SIGKILL
    secrets: [key]
    environment: {{RELEASE: "{release}"}}
    deploy: {{endpoint_mode: dnsrr, update_config: {{monitor: 300ms}}}}
secrets: {{key: {{file: key.txt}}}}
"""

OTHER = """\
services:
  side:
    image: swarmctl-test:1
    command: sleep 3600
    stop_signal: SIGKILL
    deploy: {endpoint_mode: dnsrr}
"""


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "infra")
    made.commit({"swarm.yaml": SWARM, "stacks/one.yaml": STACK.format(release=1), "stacks/key.txt": "s3cr3t-one"})
    backend.swarmctl.folder = made.folder
    return made


def test_a_saved_plan_is_carried_out_as_it_was_shown_and_only_once(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    swarmctl.ok("diff", "--revision", "main", "--out", "plan.json", code=2)
    assert "s3cr3t" not in (repository.folder / "plan.json").read_text()
    assert (repository.folder / "plan.json").stat().st_mode & 0o777 == 0o600

    assert "3 added, 0 changed" in swarmctl.ok("apply", "plan.json")  # nobody is asked
    assert backend.running("one_app")

    mixed = swarmctl("apply", "plan.json", "--resolve-image", "always")
    assert (mixed.code, "[usage]" in mixed.err) == (1, True)
    again = swarmctl("apply", "plan.json")
    assert again.code == 1
    assert "[stale-plan]" in again.err
    swarmctl.ok("diff")


def test_a_saved_plan_is_stale_once_the_commit_or_an_object_has_moved(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    swarmctl.ok("apply", "--yes")
    repository.commit({"stacks/one.yaml": STACK.format(release=2)})
    swarmctl.ok("diff", "-r", "main", "-o", "plan.json", code=2)

    repository.commit({"README": "moved on"})
    moved = swarmctl("apply", "plan.json")
    assert (moved.code, "[stale-plan]" in moved.err) == (1, True)

    swarmctl.ok("diff", "-r", "main", "-o", "plan.json", code=2)
    spec = backend.service("one_app")["Spec"]
    put_service(backend.engine, "one_app", {**spec, "Labels": {**spec["Labels"], "meddled": "yes"}})
    before = backend.versions()
    meddled = swarmctl("apply", "plan.json")
    assert (meddled.code, "[stale-plan]" in meddled.err, "one_app" in meddled.err) == (1, True, True)
    assert backend.versions() == before

    swarmctl.ok("diff", "-r", "main", "-o", "plan.json", code=2)
    swarmctl.ok("apply", "plan.json")
    swarmctl.ok("diff")


def test_what_a_saved_plan_does_not_touch_may_move_and_is_left_as_it_is(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    repository.commit({"stacks/two.yaml": OTHER})
    swarmctl.ok("apply", "--yes")
    repository.commit({"stacks/one.yaml": STACK.format(release=2)})
    swarmctl.ok("diff", "-r", "main", "-o", "plan.json", code=2)
    spec = backend.service("two_side")["Spec"]
    put_service(backend.engine, "two_side", {**spec, "Labels": {**spec["Labels"], "meddled": "yes"}})
    done = swarmctl("apply", "plan.json")
    assert done.code == 0, done.text
    assert "service.two_side was changed in the swarm, and is left as it is." in done.text, done.text
    assert "RELEASE=2" in backend.service("one_app")["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    assert backend.service("two_side")["Spec"]["Labels"]["meddled"] == "yes"
    left = swarmctl.ok("diff", code=2)
    assert "1 to change" in left
    assert "meddled" in left

    swarmctl.ok("apply", "--yes")
    repository.commit({"stacks/one.yaml": STACK.format(release=3)})
    swarmctl.ok("diff", "-r", "main", "-o", "plan.json", code=2)
    backend.engine.remove_service("two_side")
    done = swarmctl("apply", "plan.json")
    assert done.code == 0, done.text
    assert "service.two_side was removed from the swarm, and is not made anew." in done.text, done.text
    assert "1 to add" in swarmctl.ok("diff", code=2)


def test_a_damaged_plan_file_is_refused_and_nothing_is_written(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    swarmctl.ok("diff", "-o", "plan.json", code=2)
    path = repository.folder / "plan.json"
    text = path.read_text()
    damaged = {
        "truncated": text[: len(text) // 2],
        "edited": text.replace("RELEASE", "RELEASED"),
        "of another version": text.replace('"swarmctl_plan_file": 1', '"swarmctl_plan_file": 2'),
        "json of a plan": swarmctl("diff", "--format", "json").out,
        "empty": "",
    }
    before = backend.versions()
    for how, content in damaged.items():
        assert content != text, how
        path.write_text(content)
        refused = swarmctl("apply", "plan.json", "--yes")
        assert (refused.code, "[plan-file-invalid]" in refused.err) == (1, True), how
    assert backend.versions() == before


def test_one_stack_can_be_planned_and_applied_alone(backend: Backend, repository: Repository):
    repository.commit({"stacks/two.yaml": OTHER})
    swarmctl = backend.swarmctl
    assert "one_app" not in swarmctl.ok("diff", "--stack", "two", code=2)
    swarmctl.ok("apply", "--stack", "two", "--yes")
    assert not backend.engine.services(filters={"name": "one_app"})
    assert "two_side" not in swarmctl.ok("diff", code=2)
    unknown = swarmctl("diff", "--stack", "tow")
    assert (unknown.code, "[usage]" in unknown.err, "two" in unknown.err) == (1, True, True)

    swarmctl.ok("apply", "--yes")
    repository.commit({"stacks/two.yaml": None})
    assert "2 destroyed" in swarmctl.ok("apply", "--stack", "two", "--yes")
    assert [service["Spec"]["Name"] for service in backend.engine.services()] == ["one_app"]
    assert "two" not in swarmctl.ok("diff")


def test_a_task_that_fits_nowhere_is_told_before_and_strict_refuses_it(backend: Backend, repository: Repository):
    nowhere = OTHER.replace("endpoint_mode: dnsrr", "placement: {constraints: [node.labels.disk == gold]}")
    repository.commit({"stacks/two.yaml": nowhere})
    swarmctl = backend.swarmctl
    assert "two_side" in swarmctl.ok("diff", "--stack", "two", code=2)
    strict = swarmctl("apply", "--strict", "--yes")
    assert (strict.code, "[unschedulable]" in strict.err) == (1, True)
    assert not backend.engine.services()
    shown = json.loads(swarmctl("diff", "--format", "json").out)
    assert shown["unplaceable"][0]["code"] == "unschedulable"


def test_a_volume_is_removed_only_by_name_and_told_when_it_is_not(backend: Backend, repository: Repository):
    swarmctl = backend.swarmctl
    swarmctl.ok("apply", "--yes")
    kept = swarmctl("apply", "--yes", "--prune-volume", "no-such-volume")
    assert (kept.code, "[volume-kept]" in kept.err) == (1, True)
    if backend.name == "docker":
        backend.engine.create_volume("old-data")
        swarmctl.ok("apply", "--yes", "--prune-volume", "old-data")
        left = backend.engine.volumes(filters={"name": "old-data"})["Volumes"]
        assert not left
