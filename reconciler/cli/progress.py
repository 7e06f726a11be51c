"""An apply while it runs: a live table on a terminal, one line for each step elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from reconciler.cli.terminal import Terminal
from reconciler.model.plan import ActionType, Plan, TaskEffect
from reconciler.model.progress import (
    ActionProgress,
    ActionStatus,
    Assessment,
    Progress,
    ServicesProgress,
    Verdict,
)
from reconciler.model.words import some

if TYPE_CHECKING:  # imported where there is a terminal: a pipe need not wait for it
    from rich.live import Live
    from rich.text import Text

DOING = {
    ActionType.CREATE: "creating",
    ActionType.UPDATE: "updating",
    ActionType.REPLACE: "replacing",
    ActionType.DELETE: "removing",
}
REFRESH_PER_S = 8
LEFT_SHOWN_MAX = 10
"""Actions that were not begun, that are named."""


class ProgressDisplay:
    """Shows each step of an apply as it is reported. Used as a context manager, so that the terminal is put back.

    When the apply is interrupted, it says what was done of `plan` until then, and what was not.
    """

    def __init__(self, terminal: Terminal, plan: Plan | None = None) -> None:
        self._terminal, self._plan = terminal, plan
        self._endings: Counter[ActionStatus] = Counter()
        self._begun: set[str] = set()
        self._underway: dict[str, ActionProgress] = {}
        self._undone: dict[str, bool] = {}
        """{stack that is put back: whether that is over}"""
        self._services: dict[str, Assessment] = {}
        self._waited_s = 0.0
        self._live: Live | None = None
        if terminal.is_live:
            from rich.live import Live

            self._live = Live(
                console=terminal.err, refresh_per_second=REFRESH_PER_S, transient=True, get_renderable=self._draw
            )

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if kind is not None and issubclass(kind, (asyncio.CancelledError, KeyboardInterrupt)) and self._plan:
            self._terminal.note(self._interrupted(self._plan), "bold yellow")

    def report(self, step: Progress) -> None:
        """Take one step of the apply."""
        if isinstance(step, ActionProgress):
            self._action(step)
        elif isinstance(step, ServicesProgress):
            self._look(step)
        else:
            self._undone[step.stack] = True

    def _action(self, step: ActionProgress) -> None:
        name = step.action.id
        if step.status is ActionStatus.WAITING:
            return
        if step.status is not ActionStatus.SKIPPED:
            self._begun.add(name)
        is_planned = self._plan is None or step.action in self._plan.actions
        if not is_planned and step.action.stack is not None:
            self._undone[step.action.stack] = False
        if step.status is ActionStatus.RUNNING:
            self._underway[name] = step
            if not self._live:
                self._terminal.note(f"{name}: {DOING[step.action.type]}...")
            return
        self._underway.pop(name, None)
        if is_planned:
            self._endings[step.status] += 1
        if step.status is ActionStatus.DONE:
            self._terminal.note(f"{name}: {step.action.type.done}", "green")
        elif step.problem is not None:
            self._terminal.note(f"{name}: {step.status.value}: {step.problem.what}", "red")

    def _look(self, step: ServicesProgress) -> None:
        self._waited_s = step.waited_s
        for now in step.assessments:
            before = self._services.get(now.service)
            self._services[now.service] = now
            if not self._live and (before is None or _line(before) != _line(now)):
                self._terminal.note(_line(now))

    def _interrupted(self, plan: Plan) -> str:
        done, failed = self._endings[ActionStatus.DONE], self._endings[ActionStatus.FAILED]
        unknown = sorted(self._underway)
        left = [action.id for action in plan.actions if action.id not in self._begun]
        parts = [f"{done} of {len(plan.actions)} actions done"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"not known of {', '.join(unknown)}"] if unknown else []
        parts += [f"{len(left)} not begun ({some(left, LEFT_SHOWN_MAX)})"] if left else []
        ending = "The next apply does the rest."
        if done == len(plan.actions):
            waits = not done or any(one.starts_tasks or one.effect is TaskEffect.MOVE for one in plan.actions)
            ending = "Tasks were still on their way." if waits else "Nothing was left to begin."
        for is_over, state in ((True, "was put back to what it was before"), (False, "was being put back")):
            if stacks := [stack for stack, over in self._undone.items() if over is is_over]:
                ending = "The next apply goes on from there."
                parts.append(f"but stack {some(stacks, LEFT_SHOWN_MAX)} {state}")
        return f"Interrupted: {', '.join(parts)}. {ending}"

    def _draw(self) -> Text:
        from rich.text import Text

        from reconciler.cli.progress_table import Screen, table

        console = self._terminal.err
        plain = not console.encoding.lower().startswith("utf")
        actions = [f"{name}: {DOING[step.action.type]}..." for name, step in self._underway.items()]
        screen = Screen(console.width, console.height, plain=plain)
        return Text("\n", no_wrap=True, end="").join(
            table(actions, tuple(self._services.values()), self._waited_s, screen)
        )


def _line(one: Assessment) -> str:
    # A count-down would make a line of each second; what matters is that the tasks run.
    stable = one.verdict is Verdict.PROGRESSING and one.running == one.wanted and not one.is_job
    message = "watching whether they stay up" if stable else one.message
    verdict = f"{one.verdict.value}: " if one.verdict is not Verdict.PROGRESSING else ""
    return f"{one.service}: {verdict}{one.running}/{one.wanted} tasks" + (f", {message}" if message else "")
