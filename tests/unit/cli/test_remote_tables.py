"""What a running controller answers, as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cli.remote_tables import events, history, status
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


def test_a_controller_that_is_not_heard_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    well = {"name": "node1", "api": "", "leads": True, "trouble": "", "behind": 0, "silent": None}
    dead = {**well, "name": "node3", "leads": False, "silent": 40}
    status(Terminal(color=False), answered(well, {**dead, "name": "node2", "silent": 1}, dead))
    told = capsys.readouterr().out
    assert "Controller node3 was not heard for 40 s." in told
    assert "Controller node2" not in told


def test_a_pass_that_takes_long_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    well = {"name": "node1", "api": "", "leads": True, "trouble": "", "behind": 0}
    source = {"name": "infra", "revision": None, "fault": None, "pass_seconds": 45}
    status(Terminal(color=False), {**answered(well), "sources": [source, {**source, "name": "b", "pass_seconds": 3}]})
    told = capsys.readouterr().out
    assert "A pass over infra has lasted 45 s: the cluster is slow, or silent." in told
    assert "over b" not in told


def node(source: str, state: str, name: str = "n1") -> dict[str, Any]:
    condition = {"type": state, "status": True, "reason": "r", "message": f"{name} is {state} to {source}."}
    return {"source": source, "kind": "node", "name": name, "conditions": [condition], "applied": None}


def test_a_node_that_several_sources_see_is_shown_once_with_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    well = {"name": "node1", "api": "", "leads": True, "trouble": "", "behind": 0}
    seen = [node("a", "Ready"), node("b", "Stalled"), node("c", "Ready"), node("a", "Ready", "n2")]
    status(Terminal(color=False), {**answered(well), "scopes": [*seen, node("b", "Ready", "n2")]})
    told = capsys.readouterr().out
    assert [word for word in told.split() if word in ("n1", "n2", "Ready", "Stalled")].count("Ready") == 2
    assert "n1 is Stalled to b." in told
    assert "n1 is Ready" not in told
    assert "n2 is Ready to a." in told
    assert "to b." in told.split("n2")[0]


def test_an_older_controller_tells_less(capsys: pytest.CaptureFixture[str]) -> None:
    status(Terminal(color=False), answered({"name": "node1", "api": "", "leads": True}))
    assert "can't follow" not in capsys.readouterr().out


def test_moments_are_shown_to_the_second(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"number": 1, "at": "2026-11-21T21:23:49.425970Z", "kind": "apply", "scope": "web", "message": "Applied."}
    events(Terminal(color=False), {"events": [event]})
    assert "1       2026-11-21T21:23:49Z  apply" in capsys.readouterr().out


def test_an_empty_list_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    history(Terminal(color=False), {"applies": [], "tickets": []})
    events(Terminal(color=False), {"events": []})
    assert capsys.readouterr().err == "No such apply is remembered.\nNo such event is remembered.\n"
