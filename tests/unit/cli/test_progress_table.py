"""What a person sees while an apply waits: never wider or higher than the screen, the bad news first."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from reconciler.cli.progress import ProgressDisplay
from reconciler.cli.progress_table import LINES_MIN, Screen, table, word
from reconciler.cli.terminal import Terminal
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType
from reconciler.model.progress import ActionProgress, ActionStatus, Assessment, ServicesProgress, Verdict

STARTING = Assessment("web_api", Verdict.PROGRESSING, 0, 5)
WIDE = Screen(100, 24)

assessments = st.builds(
    Assessment,
    service=st.text(min_size=1, max_size=70),
    verdict=st.sampled_from(Verdict),
    running=st.integers(0, 12),
    wanted=st.integers(0, 12),
    message=st.text(max_size=300),
    older=st.integers(0, 3),
    is_job=st.booleans(),
)


def lines(*services: Assessment, screen: Screen = WIDE, actions: tuple[str, ...] = ()) -> list[str]:
    return [line.plain for line in table(actions, services, 7.0, screen)]


@pytest.mark.parametrize(
    ("one", "expected", "reason"),
    [
        (STARTING, "starting", ""),
        (Assessment("a", Verdict.PROGRESSING, 1, 5, older=4), "updating", "4 of the old tasks still run"),
        (Assessment("a", Verdict.PROGRESSING, 5, 5), "settling", "watching whether they stay up"),
        (Assessment("a", Verdict.PROGRESSING, 1, 3, is_job=True), "job runs", ""),
        (Assessment("a", Verdict.PROGRESSING, 0, 1, "no suitable node"), "starting", "no suitable node"),
        (Assessment("a", Verdict.CONVERGED, 5, 5), "running", ""),
        (Assessment("a", Verdict.CONVERGED, 3, 3, is_job=True), "complete", ""),
        (Assessment("a", Verdict.FAILING, 0, 1, "task 1 on n1 failed:\nexit 3"), "failing", "failed: exit 3"),
        (Assessment("a", Verdict.PAUSED, 1, 2, "update paused"), "update paused", ""),
    ],
)
def test_each_state_has_its_word_and_what_does_not_run_its_reason(one: Assessment, expected: str, reason: str) -> None:
    assert word(one) == expected
    (line, total) = lines(one)
    assert f" {expected}" in line
    assert line.endswith(reason)
    assert "of 1 services converged, 7 s" in total


def test_failures_come_first_then_what_has_a_reason_and_what_is_done_last() -> None:
    services = (
        Assessment("done", Verdict.CONVERGED, 1, 1),
        Assessment("begins", Verdict.PROGRESSING, 0, 1),
        Assessment("waits", Verdict.PROGRESSING, 0, 1, "no suitable node"),
        Assessment("fails", Verdict.FAILING, 0, 1, "exit 3"),
    )
    assert [line.split()[0] for line in lines(*services)[:-1]] == ["fails", "waits", "begins", "done"]
    styles = {str(line.spans[-1].style) for line in table((), services, 0.0, WIDE)[:-1]}
    assert styles == {"red", "yellow", "cyan", "green"}


def test_what_has_no_room_is_counted() -> None:
    done = [Assessment(f"s{number:02}", Verdict.CONVERGED, 1, 1) for number in range(30)]
    failing = Assessment("z", Verdict.FAILING, 0, 1, "exit 3")
    drawn = lines(*done, failing, screen=Screen(80, 10))
    assert len(drawn) == 9
    assert drawn[0].startswith("z ")
    assert drawn[-2] == "… and 24 more: 24 running"
    assert drawn[-1] == "30 of 31 services converged, 7 s"


def test_a_narrow_screen_has_no_bar_and_a_long_reason_is_cut() -> None:
    waiting = Assessment("a_service_of_a_long_name", Verdict.PROGRESSING, 0, 1, "no suitable node " * 20)
    assert lines(waiting, screen=Screen(50, 24))[0] == "a_service_of_a_… 0/1 starting  no suitable node n…"
    assert "╌" in lines(waiting)[0]
    plain = lines(waiting, screen=Screen(100, 24, plain=True))
    assert all(line.isascii() for line in plain)


@given(st.lists(assessments, max_size=60), st.lists(st.text(max_size=90), max_size=12), st.integers(1, 60), st.data())
def test_it_never_outgrows_the_screen(
    services: list[Assessment], actions: list[str], height: int, data: st.DataObject
) -> None:
    width = data.draw(st.integers(20, 200))
    drawn = table(actions, services, 1.0, Screen(width, height))
    assert len(drawn) <= max(LINES_MIN, height - 1)
    assert all(line.cell_len <= width for line in drawn)
    assert len(drawn) >= min(1, len(services) + len(actions))


def test_the_live_display_draws_it_on_the_terminal() -> None:
    terminal = Terminal(color=True)
    terminal.err = Console(file=io.StringIO(), force_terminal=True, width=80, height=8)
    with ProgressDisplay(terminal) as display:
        action = Action("service.web_api", ActionType.CREATE, Kind.SERVICE, "web_api", "web", "")
        display.report(ActionProgress(action, ActionStatus.RUNNING))
        display.report(ServicesProgress((STARTING,), 3.0))
        with terminal.err.capture() as captured:
            terminal.err.print(display._draw())
    drawn = captured.get()
    assert "service.web_api: creating..." in drawn
    assert "starting" in drawn
    assert "0 of 1 services converged, 3 s" in drawn
