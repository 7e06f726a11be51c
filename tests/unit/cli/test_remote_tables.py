"""What a running controller answers, as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cli.remote_tables import events, status
from reconciler.cli.terminal import Terminal

WHY = "The snapshot has format 3, and this version of swarmctl reads formats up to [2]. (snapshot-too-new)"


def answered(*members: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster": "prod",
        "leader": "node1",
        "member": "node1",
        "members": list(members),
        "sources": [],
        "scopes": [],
        "drifts": [],
    }


def test_a_controller_that_can_not_follow_is_named_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    well = {"name": "node1", "api": "", "leads": True, "trouble": "", "behind": 0}
    status(Terminal(color=False), answered(well, {**well, "name": "node3", "trouble": WHY, "behind": 9000}))
    told = " ".join(capsys.readouterr().out.split())
    assert f"Controller node3 can't follow, and is behind by 9000 changes: {WHY}" in told
    assert "Controller node1" not in told
    status(Terminal(color=False), answered({**well, "trouble": WHY, "behind": None}))
    assert f"Controller node1 can't follow, and is behind: {WHY}" in " ".join(capsys.readouterr().out.split())


def test_a_pass_that_takes_long_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    well = {"name": "node1", "api": "", "leads": True, "trouble": "", "behind": 0}
    source = {"name": "infra", "revision": None, "fault": None, "pass_seconds": 45}
    status(Terminal(color=False), {**answered(well), "sources": [source, {**source, "name": "b", "pass_seconds": 3}]})
    told = capsys.readouterr().out
    assert "A pass over infra has lasted 45 s: the cluster is slow, or silent." in told
    assert "over b" not in told


def test_an_older_controller_tells_less(capsys: pytest.CaptureFixture[str]) -> None:
    status(Terminal(color=False), answered({"name": "node1", "api": "", "leads": True}))
    assert "can't follow" not in capsys.readouterr().out


def test_moments_are_shown_to_the_second(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"number": 1, "at": "2026-11-21T21:23:49.425970Z", "kind": "apply", "scope": "web", "message": "Applied."}
    events(Terminal(color=False), {"events": [event]})
    assert "1       2026-11-21T21:23:49Z  apply" in capsys.readouterr().out
