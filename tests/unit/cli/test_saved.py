"""Where a plan may be saved; and one that is applied from another folder than the one that it was made in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler import settings
from reconciler.adapters import single_file
from reconciler.cli import saved
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.planning.plan_file_fields import PlanSource, SavedPlan
from reconciler.settings import EndpointSettings
from reconciler.wiring import Wiring

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


MADE_WITH_HOST = PlanSource("infra", host="tcp://one:2375")
MADE_WITH_CONTEXT = PlanSource("infra", context="prod")


@pytest.mark.parametrize("made", [MADE_WITH_HOST, MADE_WITH_CONTEXT])
@pytest.mark.parametrize(
    "known",
    [
        EndpointSettings(host="tcp://two:2375"),
        EndpointSettings(context="test"),
        EndpointSettings(host="tcp://two:2375", context="prod"),
    ],
)
def test_a_plan_file_does_not_lead_away_from_the_engine_that_the_environment_names(
    made: PlanSource, known: EndpointSettings
) -> None:
    # Who can edit the file could have what the plan writes, secrets too, sent to an engine of their own.
    with pytest.raises(SwarmctlError) as caught:
        saved.engine_of(replace(a_plan(""), source=made), known)
    assert caught.value.code is ErrorCode.STALE_PLAN


@pytest.mark.parametrize("made", [MADE_WITH_HOST, MADE_WITH_CONTEXT])
def test_a_plan_goes_to_the_engine_it_was_made_with_where_the_environment_names_none_or_that(made: PlanSource) -> None:
    for known in (EndpointSettings(), EndpointSettings(host=made.host, context=made.context)):
        engine = saved.engine_of(replace(a_plan(""), source=made), known)
        assert (engine.host, engine.context) == (made.host, made.context)


def test_a_plan_made_without_options_goes_where_the_environment_says() -> None:
    assert not saved.engine_of(a_plan(""), EndpointSettings(host="tcp://two:2375"))


def refused(path: str) -> SwarmctlError | None:
    """Return why a plan may not be saved at `path`, or None when it is there now."""
    outside = Wiring(settings.read({"HOME": "/root"}))
    try:
        saved.check_target(outside, path)
        outside.write_text(path, PLAN)
    except SwarmctlError as error:
        return error
    return None


PLAN = '{\n  "swarmctl_plan_file": 1\n}\n'


def test_a_plan_replaces_a_plan_or_nothing_and_never_a_stack_file(tmp_path: Path) -> None:
    stack, plan = tmp_path / "web.yaml", tmp_path / "plan.json"
    stack.write_text("services: {}\n")
    error = refused(str(stack))
    assert error is not None
    assert (error.code, stack.read_text()) == (ErrorCode.OUTPUT_FAILED, "services: {}\n")
    stack.write_bytes(b"\xff\xfe")
    assert refused(str(stack)) is not None
    assert stack.read_bytes() == b"\xff\xfe"
    for before in (None, "", PLAN):
        if before is not None:
            plan.write_text(before)
        assert refused(str(plan)) is None
        assert plan.read_text() == PLAN
    error = refused("")
    assert error is not None
    assert error.code is ErrorCode.USAGE


def test_only_a_plain_file_is_replaced(tmp_path: Path) -> None:
    """As root a file can be renamed over a device: that of a pipe stands for it here."""
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(pipe)
    folder.mkdir()
    for path, why in ((pipe, "a pipe"), (folder, "a folder")):
        with pytest.raises(SwarmctlError) as caught:
            single_file.write_text(str(path), PLAN)
        assert caught.value.code is ErrorCode.OUTPUT_FAILED
        assert why in caught.value.problems[0].why
    assert pipe.is_fifo()
    link.symlink_to(pipe)
    assert refused(str(link)) is not None
    assert link.is_symlink()
    link.unlink()
    link.symlink_to(tmp_path / "plan.json")
    assert refused(str(link)) is None
    assert link.is_symlink()
    assert (tmp_path / "plan.json").read_text() == PLAN


def test_a_plan_is_not_saved_to_standard_output_nor_to_a_file_that_is_called_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused("-")
    assert error is not None
    assert error.code is ErrorCode.USAGE
    assert "--format json" in error.problems[0].hint
    assert not (tmp_path / "-").exists()
    assert refused("./-") is None
