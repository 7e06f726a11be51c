"""What is said at the end of an apply, and the exit code that goes with it."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from reconciler.cli.conclusion import conclude
from reconciler.cli.progress import ProgressDisplay
from reconciler.cli.terminal import Terminal
from reconciler.model.endings import problem_of
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan, TaskEffect
from reconciler.model.progress import (
    ActionProgress,
    ActionStatus,
    ApplyResult,
    Assessment,
    ServicesProgress,
    UndoneStack,
    Verdict,
)

WEB = Action("service.web_api", ActionType.UPDATE, Kind.SERVICE, "web_api", "web", "because")
DB = Action("service.db_one", ActionType.CREATE, Kind.SERVICE, "db_one", "db", "because")
PLAN = Plan("main", None, "unix:///x", (WEB, DB), services=("web_api", "db_one"))
GOOD = Assessment("db_one", Verdict.CONVERGED, 1, 1)
BAD = Assessment("web_api", Verdict.FAILING, 0, 2, "task 1 on n1 failed: exit 3", log=("one", "two"))


def ended(**fields) -> ApplyResult:
    actions = tuple(ActionProgress(action, ActionStatus.DONE) for action in PLAN.actions)
    return replace(ApplyResult(PLAN, actions, (BAD, GOOD)), **fields)


def said(result: ApplyResult, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = conclude(Terminal(color=False), result)
    captured = capsys.readouterr()
    return int(code), captured.out, captured.err


def test_a_failing_service_is_told_with_its_error_and_its_last_lines(capsys):
    code, out, err = said(ended(), capsys)
    assert code == 6
    assert "Service web_api: its tasks fail, 0 of 2 tasks running. [tasks-failing]" in err
    assert err.index("why:  task 1 on n1 failed: exit 3") < err.index("log:  one") < err.index("log:  two")
    assert "Applied in part: 1 added, 1 changed, 0 destroyed. 1 of 2 services converged." in out


def test_all_well_ends_with_nothing_said_but_the_sum(capsys):
    code, out, err = said(ended(services=(GOOD,)), capsys)
    assert (code, err) == (0, "")
    assert "Apply complete: 1 added, 1 changed" in out


def a_needed_one_failed() -> ApplyResult:
    """The first service was written and fails, so that the second, which needs it, was left."""
    left = Problem(ErrorCode.APPLY_FAILED, "Service db_one was left as it is.")
    failed = ActionProgress(WEB, ActionStatus.FAILED, problem_of(BAD), BAD.log, written=True)
    return ended(actions=(failed, ActionProgress(DB, ActionStatus.SKIPPED, left)), services=())


def test_what_was_written_counts_though_another_waits_for_it_in_vain(capsys):
    code, out, _ = said(a_needed_one_failed(), capsys)
    assert code == 6
    assert "Apply failed: 0 added, 1 changed, 0 destroyed. 1 failed, 1 skipped." in out


def test_a_service_is_told_once_though_an_action_and_the_tasks_that_a_node_moves_wait_for_it(capsys):
    _, _, err = said(replace(a_needed_one_failed(), services=(BAD,)), capsys)
    assert err.count("Service web_api: its tasks fail") == 1
    assert err.count("log:  two") == 1


def test_a_job_that_has_just_begun_is_not_said_to_stay_up(capsys):
    display = ProgressDisplay(Terminal(color=False))
    display.report(ServicesProgress((Assessment("job", Verdict.PROGRESSING, 0, 0, is_job=True),), 1.0))
    assert capsys.readouterr().err == "job: 0/0 tasks\n"


def test_a_stack_that_was_put_back_is_one_ending_whatever_its_services_came_to(capsys):
    undone = UndoneStack(
        "web",
        Problem(ErrorCode.TASKS_FAILING, "Service web_api: its tasks fail.", why="exit 3"),
        (ActionProgress(replace(WEB, id="service.web_api (put back)"), ActionStatus.DONE),),
        (Assessment("web_api", Verdict.CONVERGED, 2, 2),),
    )
    code, out, err = said(ended(undone=(undone,)), capsys)
    assert code == 5
    assert "Stack web was put back to what it was before: 1 service written again. [rolled-back]" in err
    assert "log:  two" in err
    assert "Applied in part: 1 added, 0 changed, 0 destroyed." in out
    assert "Put back: web." in out


@pytest.mark.parametrize("told_with", ["its tasks", "its action"])
def test_a_job_whose_stack_was_put_back_is_not_to_be_forced_to_run_what_it_was_before(told_with, capsys):
    job = replace(BAD, is_job=True)
    assert "service update --force web_api" in said(ended(services=(job,)), capsys)[2]
    undone = UndoneStack("web", problem_of(job), (ActionProgress(WEB, ActionStatus.DONE),))
    failed = (ActionProgress(WEB, ActionStatus.FAILED, problem_of(job), (), True),)
    fields = {"services": (job,)} if told_with == "its tasks" else {"actions": failed, "services": ()}
    _, _, err = said(ended(undone=(undone,), **fields), capsys)
    assert "--force" not in err
    assert "The service is again what it was before. Mend the cause, then apply again." in err


@pytest.mark.parametrize(
    ("types", "said_so"),
    [
        ([ActionType.UPDATE, ActionType.DELETE], "1 service written again, 1 removed."),
        ([ActionType.DELETE, ActionType.DELETE], "2 services removed."),
        ([ActionType.DELETE], "1 service removed."),
        ([ActionType.CREATE, ActionType.REPLACE], "2 services written again."),
        ([], "nothing was to be undone."),
    ],
)
def test_what_putting_a_stack_back_took_is_counted(types, said_so, capsys):
    back = tuple(
        ActionProgress(replace(DB, type=kind, name=f"db_{number}"), ActionStatus.DONE)
        for number, kind in enumerate(types)
    )
    undone = UndoneStack("db", Problem(ErrorCode.TASKS_FAILING, "Service db_one: its tasks fail."), back)
    _, out, err = said(ended(services=(), undone=(undone,)), capsys)
    assert f"Stack db was put back to what it was before: {said_so} [rolled-back]" in err
    assert "0 added, 1 changed, 0 destroyed." in out, "what was taken back was not added"


def test_a_stack_that_could_not_be_put_back_is_an_error(capsys):
    refused = Problem(ErrorCode.STALE_VERSION, "Service web_api was not put back.")
    cause = Problem(ErrorCode.TASKS_FAILING, "Service web_api: its tasks fail.")
    undone = UndoneStack("web", cause, (ActionProgress(WEB, ActionStatus.SKIPPED, refused),))
    code, out, err = said(ended(undone=(undone,)), capsys)
    assert code == 1
    assert "was not put back" in err
    assert "Stack web could not be put back: 1 service may not be what it was. [rolled-back]" in err
    assert "Not put back, or in part only: web." in out


def test_a_stack_of_which_some_services_could_not_be_put_back_is_not_said_to_be_what_it_was(capsys):
    refused = Problem(ErrorCode.REQUEST_REFUSED, "Service web_db was not updated: the engine refused the request.")
    cause = Problem(ErrorCode.TASKS_FAILING, "Service web_api: its tasks fail.")
    failed = ActionProgress(replace(WEB, name="web_db"), ActionStatus.FAILED, refused)
    undone = UndoneStack("web", cause, (ActionProgress(WEB, ActionStatus.DONE), failed))
    code, out, err = said(ended(services=(), undone=(undone,)), capsys)
    assert code == 1
    told = "1 service written again, 1 service may not be what it was."
    assert f"Stack web was put back in part only: {told} [rolled-back]" in err
    assert "what it was before" not in err
    assert out.endswith("Not put back, or in part only: web.\n")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (ActionStatus.DONE, "was put back to what it was before: 1 service written again."),
        (ActionStatus.FAILED, "could not be put back: 1 service may not be what it was."),
    ],
)
def test_a_service_that_two_steps_put_back_is_one_service(second, told, capsys):
    cause = Problem(ErrorCode.TASKS_FAILING, "Service web_api: its tasks fail.")
    steps = (ActionProgress(WEB, ActionStatus.DONE), ActionProgress(WEB, second))
    _, _, err = said(ended(services=(), undone=(UndoneStack("web", cause, steps),)), capsys)
    assert f"Stack web {told} [rolled-back]" in err


def test_an_endpoint_that_went_away_says_what_was_done_before(capsys):
    gone = Problem(ErrorCode.ENGINE_UNREACHABLE, "No Docker Engine answers.")
    skipped = ActionProgress(DB, ActionStatus.SKIPPED, Problem(ErrorCode.APPLY_FAILED, "Service db_one was left."))
    result = ended(actions=(ActionProgress(WEB, ActionStatus.DONE), skipped), services=(), lost=gone)
    code, out, err = said(result, capsys)
    assert code == 1
    assert "Service db_one was left." in err
    assert "[engine-unreachable]" in err
    assert "Apply failed: 0 added, 1 changed, 0 destroyed. 0 failed, 1 skipped." in out


def test_a_warning_does_not_change_the_exit_code(capsys):
    warning = Problem(ErrorCode.SWARM_UNAVAILABLE, "It could not be written down.", severity=Severity.WARNING)
    code, out, err = said(ended(services=(GOOD,), warnings=(warning,)), capsys)
    assert code == 0
    assert "Warning: It could not be written down." in err
    assert "Apply complete" in out


def test_a_service_that_is_not_ours_is_told_and_fails_nothing(capsys):
    code, out, err = said(ended(services=(GOOD, replace(BAD, service="else_app"))), capsys)
    assert code == 0
    assert "Warning: Service else_app: its tasks fail" in err
    assert "task 1 on n1 failed: exit 3" in err
    assert "1 of 1 services converged." in out


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt])
def test_an_interrupted_apply_says_what_was_done_what_may_be_and_what_was_not_begun(kind, capsys):
    display = ProgressDisplay(Terminal(color=False), replace(PLAN, actions=(WEB, DB, replace(DB, id="service.db_two"))))

    def interrupted() -> None:
        with display:
            display.report(ActionProgress(WEB, ActionStatus.RUNNING))
            display.report(ActionProgress(WEB, ActionStatus.DONE))
            display.report(ActionProgress(DB, ActionStatus.RUNNING))
            raise kind

    with pytest.raises(kind):
        interrupted()
    said = capsys.readouterr().err
    assert "Interrupted: 1 of 3 actions done, not known of service.db_one, 1 not begun (service.db_two)." in said
    assert "The next apply does the rest." in said


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (TaskEffect.NONE, "Nothing was left to begin."),
        (TaskEffect.MOVE, "Tasks were still on their way."),
    ],
)
def test_an_interruption_speaks_of_tasks_only_where_there_are_any(effect: TaskEffect, told: str, capsys):
    """A join token is renewed, a node's label changed: no task starts or moves."""
    node = Action("node.node2", ActionType.UPDATE, Kind.NODE, "node2", None, "because", effect)
    display = ProgressDisplay(Terminal(color=False), replace(PLAN, actions=(node,)))

    def interrupted() -> None:
        with display:
            display.report(ActionProgress(node, ActionStatus.RUNNING))
            display.report(ActionProgress(node, ActionStatus.DONE))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert f"Interrupted: 1 of 1 actions done. {told}" in capsys.readouterr().err


@pytest.mark.parametrize(("is_over", "told"), [(False, "was being put back"), (True, "was put back to what it was")])
def test_an_interruption_says_that_a_stack_was_being_put_back(is_over: bool, told: str, capsys):
    display = ProgressDisplay(Terminal(color=False), replace(PLAN, actions=(WEB,)))
    back = replace(WEB, id=f"{WEB.id} (put back)")

    def interrupted() -> None:
        with display:
            display.report(ActionProgress(WEB, ActionStatus.RUNNING))
            display.report(ActionProgress(WEB, ActionStatus.DONE))
            display.report(ActionProgress(back, ActionStatus.RUNNING))
            display.report(ActionProgress(back, ActionStatus.DONE))
            if is_over:
                display.report(UndoneStack("web", problem_of(BAD)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    said = capsys.readouterr().err
    assert f"Interrupted: 1 of 1 actions done, but stack web {told}" in said
    assert "The next apply goes on from there." in said
    assert "Tasks were still on their way" not in said
