"""What diff, apply and comment share: printing a plan, and refusing one."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from reconciler.cli.inert import no_command
from reconciler.cli.options import PlanFormat
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import Severity, SwarmctlError
from reconciler.model.plan import Plan


def show(terminal: Terminal, plan: Plan, output: PlanFormat) -> None:
    """Print a plan in the format asked for."""
    if output is PlanFormat.JSON:
        from reconciler.planning import render_json

        terminal.json(render_json.render(plan))
    elif output is PlanFormat.MARKDOWN:
        from reconciler.planning import render_markdown

        terminal.write(no_command(render_markdown.render(plan)))
    else:
        from reconciler.planning import render_text

        terminal.plan(render_text.render(plan, terminal.width))


def selected(stacks: Iterable[str] | None) -> frozenset[str] | None:
    """Return the stacks that --stack names, or None for all."""
    return frozenset(stacks or ()) or None


def refuse_if_strict(plan: Plan, *, strict: bool) -> None:
    """Raise what is blocked, and what the placement pre-flight found, as errors, where `strict` asks for that."""
    problems = [one.problem for one in plan.blocked]
    problems += [replace(problem, severity=Severity.ERROR) for problem in plan.unplaceable]
    if strict and problems:
        raise SwarmctlError.from_problems(tuple(problems))
