"""A saved plan that is applied from another folder than the one that it was made in."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import saved
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.planning.plan_file_fields import PlanSource, SavedPlan

BROKEN = SwarmctlError(ErrorCode.PATH_NOT_FOUND, "infra does not exist.")


def a_plan(absolute: str) -> SavedPlan:
    source = PlanSource("infra", absolute=absolute)
    return SavedPlan("1", "2026-01-01T00:00:00Z", "unix:///x", "swarm", source, None, {}, (), "", {})


def told(plan: SavedPlan) -> tuple[str, ...]:
    with pytest.raises(SwarmctlError) as caught, saved.made_elsewhere(plan):
        raise BROKEN
    return tuple(problem.what for problem in caught.value.problems)


def test_both_paths_are_told_before_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert told(a_plan("/srv/infra")) == (
        f"The saved plan was made for /srv/infra, and is applied to {tmp_path}/infra.",
        "infra does not exist.",
    )


def test_where_the_path_is_the_same_or_not_known_only_what_went_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for absolute in (f"{tmp_path}/infra", ""):
        assert told(a_plan(absolute)) == ("infra does not exist.",)


def test_a_plan_that_holds_elsewhere_too_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with saved.made_elsewhere(a_plan("/srv/infra")):
        pass
