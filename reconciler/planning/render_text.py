"""A Plan as people read it in a terminal, in Terraform's layout. Plain text; whoever prints it may colour it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator

from reconciler.model.errors import Problem
from reconciler.model.json import JsonValue
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, SENSITIVE, Absent, Action, ActionType, Change, Plan, TaskEffect

SYMBOLS = {
    ActionType.CREATE: "+",
    ActionType.UPDATE: "~",
    ActionType.REPLACE: "-/+",
    ActionType.DELETE: "-",
}

LEGEND = {
    ActionType.CREATE: "create",
    ActionType.UPDATE: "update in place",
    ActionType.REPLACE: "destroy and then create replacement",
    ActionType.DELETE: "destroy",
}

FUTURE = {
    ActionType.CREATE: "will be created",
    ActionType.UPDATE: "will be updated in place",
    ActionType.REPLACE: "must be replaced",
    ActionType.DELETE: "will be destroyed",
}

VALUE_CHARACTERS_MAX = 160
"""A longer value is cut in the text; `--format json` has it whole."""

MISSING = "it does not exist"
"""The one reason for a creation that goes without saying."""

DURATIONS = frozenset(
    {"Delay", "HeartbeatPeriod", "Interval", "Monitor", "NodeCertExpiry", "StartInterval", "StartPeriod",
     "StopGracePeriod", "Timeout", "Window"}
)  # fmt: skip
"""Fields that hold nanoseconds; shown as 1m30s."""

NO_CHANGES = "No changes."


def render(plan: Plan) -> str:
    """Return the whole plan as text that ends in a newline."""
    lines: list[str] = []
    for note in plan.notes:
        lines += [*problem_lines(note, "Note"), ""]
    if plan.is_empty:
        lines.append(f"{NO_CHANGES} The swarm at {plan.endpoint} is what {plan.revision} asks for.")
        return "\n".join(lines) + "\n"
    if plan.actions:
        lines += [f"swarmctl compared {plan.revision} with the swarm at {plan.endpoint}.", *_legend(plan), ""]
        lines += ["swarmctl will perform the following actions:", ""]
        for action in plan.actions:
            lines += [*_action_lines(action), ""]
    for blocked in plan.blocked:
        lines += [*problem_lines(blocked.problem, "Blocked"), ""]
    lines.append(totals(plan))
    return "\n".join(lines) + "\n"


def totals(plan: Plan) -> str:
    """Return the line that counts a plan; a replacement counts as one to add and one to destroy."""
    add = plan.count(ActionType.CREATE, ActionType.REPLACE)
    change = plan.count(ActionType.UPDATE)
    destroy = plan.count(ActionType.DELETE, ActionType.REPLACE)
    blocked = f" {len(plan.blocked)} blocked." if plan.blocked else ""
    return f"Plan: {add} to add, {change} to change, {destroy} to destroy.{blocked}"


def problem_lines(problem: Problem, title: str) -> Iterator[str]:
    """Yield a problem as lines: its title, place and sentence, then why and what to do, indented."""
    place = f" {problem.place}" if problem.place else ""
    yield f"{title}: {problem.what} [{problem.code}]{place}"
    if problem.why:
        yield f"  why:  {problem.why}"
    if problem.hint:
        yield f"  hint: {problem.hint}"


def _legend(plan: Plan) -> Iterator[str]:
    used = [kind for kind in ActionType if plan.count(kind)]
    yield "Actions are indicated with the following symbols:"
    for kind in used:
        yield f"{SYMBOLS[kind]:>4} {LEGEND[kind]}"


def _action_lines(action: Action) -> Iterator[str]:
    place = f"  ({action.place})" if action.place else ""
    reason = "" if action.reason == MISSING else f": {action.reason}"
    yield f"  # {action.kind}.{action.name} {FUTURE[action.type]}{reason}{place}"
    if action.effect is not TaskEffect.NONE or action.kind is Kind.SERVICE:
        yield f"  # effect: {action.effect_text}"
    symbol = SYMBOLS[action.type]
    opening = f'{symbol:>3} {action.kind} "{action.name}"'
    if not action.changes:
        yield opening
        return
    yield opening + " {"
    for change in action.changes:
        yield from _change_lines(change)
    yield "    }"


def _change_lines(change: Change) -> Iterator[str]:
    new, old = shown(change.new, change), shown(change.old, change)
    if change.old is ABSENT:
        yield f"      + {change.path} = {new}"
    elif change.new is ABSENT:
        yield f"      - {change.path} = {old} -> null"
    elif _is_text_block(change):
        yield f"      ~ {change.path} ="
        yield from (f"          {line}" for line in _line_differences(str(change.old), str(change.new)))
    else:
        yield f"      ~ {change.path} = {old} -> {new}"


def shown(value: JsonValue | Absent, change: Change) -> str:
    """Return a value as the plan's text has it: JSON, cut when long; never what is sensitive."""
    if value is ABSENT:
        return "null"
    if change.sensitive:
        return SENSITIVE
    if change.path.rsplit(".", 1)[-1] in DURATIONS and isinstance(value, int):
        return duration(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(text) > VALUE_CHARACTERS_MAX:
        return f"{text[:VALUE_CHARACTERS_MAX]}… ({len(text)} characters)"
    return text


def duration(nanoseconds: int) -> str:
    """Return nanoseconds as stack files write a duration: 1h2m3.5s; what is no whole microsecond stays a number."""
    if nanoseconds < 0 or nanoseconds % 1000:
        return str(nanoseconds)
    seconds, rest = divmod(nanoseconds, 10**9)
    if not seconds and rest:
        return f"{rest // 10**6}ms" if rest % 10**6 == 0 else f"{rest // 1000}us"
    hours, minutes, last = seconds // 3600, seconds // 60 % 60, seconds % 60
    fraction = f"{last}.{rest:09}".rstrip("0") if rest else str(last)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return "".join(parts) + (f"{fraction}s" if fraction != "0" or not any(parts) else "")


def _is_text_block(change: Change) -> bool:
    both = (change.old, change.new)
    return not change.sensitive and all(isinstance(one, str) for one in both) and any("\n" in str(one) for one in both)


def _line_differences(old: str, new: str) -> Iterator[str]:
    context_lines = 2
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=context_lines)
    yield from (line for line in lines if not line.startswith(("---", "+++")))
