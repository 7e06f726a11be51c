"""What swarm.yaml lets the controller do by itself."""

from __future__ import annotations

from datetime import UTC, time
from pathlib import Path

import pytest

from reconciler.model.errors import ErrorCode
from reconciler.model.policies import DriftMode, IgnoreRule, Policies, StackPolicy, Window, WindowKind
from tests.unit.manifests.builders import CLUSTER, loaded, problems

WHOLE = (
    CLUSTER
    + """
spec:
  stacks:
    - {path: db.yaml, drift: report}
    - {path: web.yaml, name: front, windows: [{start: "22:00", duration: 4h, days: [fri, sat]}]}
    - {path: plain.yaml}
  policy:
    drift: ignore
    objects:
      - {match: "service.*_cron", drift: heal}
    ignoreDifferences:
      - {match: "service.front_*", paths: [Mode.Replicated.Replicas, 'Labels["a.b"]']}
      - {paths: ["TaskTemplate.ContainerSpec.Env[NAME]"]}
    windows:
      - {kind: deny, start: "00:30", duration: 90m, timezone: UTC}
"""
)
STACKS = {"db.yaml": "services: {}", "web.yaml": "services: {}", "plain.yaml": "services: {}"}


def test_policies_are_read() -> None:
    assert loaded({"swarm.yaml": WHOLE, **STACKS}).policies == Policies(
        drift=DriftMode.IGNORE,
        windows=(Window(WindowKind.DENY, time(0, 30), 5400.0, zone=UTC),),
        stacks={
            "db": StackPolicy(DriftMode.REPORT),
            "front": StackPolicy(None, (Window(WindowKind.ALLOW, time(22), 4 * 3600.0, frozenset({4, 5})),)),
        },
        objects=(("service.*_cron", DriftMode.HEAL),),
        ignore=(
            IgnoreRule("service.front_*", "Mode.Replicated.Replicas"),
            IgnoreRule("service.front_*", 'Labels["a.b"]'),
            IgnoreRule("*", "TaskTemplate.ContainerSpec.Env[NAME]"),
        ),
    )


def test_without_any_the_policies_are_the_standard_ones() -> None:
    assert loaded({"swarm.yaml": CLUSTER, "stacks/db.yaml": "services: {}"}).policies == Policies()


@pytest.mark.parametrize(
    ("policy", "at"),
    [
        ("{windows: [{start: '25:00', duration: 1h}]}", "spec.policy.windows[0].start"),
        ("{windows: [{start: '22:00', duration: 0s}]}", "spec.policy.windows[0].duration"),
        ("{windows: [{start: '22:00', duration: 8d}]}", "spec.policy.windows[0].duration"),
        ("{windows: [{start: '22:00', duration: 1h, timezone: Mars/Olympus}]}", "spec.policy.windows[0].timezone"),
        ("{windows: [{start: '22:00', duration: 1h, days: [someday]}]}", "spec.policy.windows[0].days[0]"),
        ("{ignoreDifferences: [{paths: ['..']}]}", "spec.policy.ignoreDifferences[0].paths[0]"),
        ("{ignoreDifferences: [{paths: [TaskTemplate.Networks]}]}", "spec.policy.ignoreDifferences[0].paths[0]"),
        ("{objects: [{match: 'service.*', drift: sometimes}]}", "spec.policy.objects[0].drift"),
        ("{drift: {a: 1}, windows: 5}", "spec.policy.drift"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(policy: str, at: str) -> None:
    (first, *_) = problems({"swarm.yaml": f"{CLUSTER}\nspec:\n  policy: {policy}\n"})
    assert first.code in (ErrorCode.INVALID_VALUE, ErrorCode.WRONG_TYPE)
    assert first.place is not None
    assert first.place.key_path == at


def test_the_example_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "gitops.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0].replace("Europe/Berlin", "UTC")
    files = {"swarm.yaml": f"{CLUSTER}\n{example}", "stacks/db.yaml": "services: {}", "stacks/web.yaml": "services: {}"}
    policies = loaded(files).policies
    assert policies.drift_of("service.web_cron", "web") is DriftMode.IGNORE
    assert policies.drift_of("service.db_api", "db") is DriftMode.REPORT
    assert policies.windows_of("web") != policies.windows_of("db") == policies.windows
