"""A Plan as a comment on a pull request: what matters first and always, each object folded below, within a limit.

Forges refuse a comment that is too long, so the parts have budgets: what a thousand stacks would overflow is cut with a
line that says how much is missing, whole objects go from the end, and no fence or fold is ever left open.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Action, Change, Plan, TaskEffect
from reconciler.model.words import many
from reconciler.planning.render_counts import Drift, by_stack, counts, drift, drifted_changes, is_offline, totals
from reconciler.planning.render_escapes import code, fenced, html_code, html_prose, prose, units
from reconciler.planning.render_text import FUTURE, MISSING, NO_CHANGES, comment_of
from reconciler.planning.render_values import (
    SYMBOLS,
    VALUE_COLUMNS_MAX,
    block_lines,
    cut,
    elided,
    elided_pair,
    is_text_block,
    line_of,
    printable,
    short_block_lines,
    shown,
)

LIMIT = 65_000
"""UTF-16 units. GitHub takes 65,536 characters; GitLab and Gitea take more."""

LIMIT_MIN = 4_000
"""Below this the summary itself would not fit."""

OBJECT_UNITS_MAX = 8_000
LINE_COLUMNS_MAX = 300
EFFECTS_MAX = 3
"""Services of one stack whose effect the table tells; the others are counted."""

MARKER_CHARACTERS_MAX = 100
MARKER_HASH_CHARACTERS = 12
COMMIT_CHARACTERS = 12
LEFT_OUT_UNITS = 300
"""Kept free for the line that says how many objects are left out."""


def marker_line(marker: str) -> str:
    """Return the hidden line by which a later run finds its own comment among others; another for each name.

    What a comment of HTML can't hold is left out, and then a hash of the whole name tells it from others.
    """
    name = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._:/-]", "-", marker))[:MARKER_CHARACTERS_MAX].strip("-")
    if not name or name != marker:
        told = hashlib.sha256(marker.encode("utf-8", "surrogatepass")).hexdigest()[:MARKER_HASH_CHARACTERS]
        name = f"{name}-{told}".strip("-")
    return f"<!-- swarmctl:plan:{name} -->"


def render(plan: Plan, *, marker: str = "default", limit: int = LIMIT) -> str:
    """Return the plan as Markdown of at most `limit` (and LIMIT_MIN at least) UTF-16 units, ending in a newline."""
    limit = max(limit, LIMIT_MIN)
    parts = [f"{marker_line(marker)}\n", *_heading(plan)]
    blocked = _Items(len(plan.blocked), (_problem_item(one.problem) for one in plan.blocked))
    parts += _alert("CAUTION", f"{many(blocked.count, 'change')} blocked", blocked, limit // 10)
    placement = _Items(len(plan.unplaceable), map(_problem_item, plan.unplaceable))
    parts += _alert("WARNING", f"{many(placement.count, 'finding')} about where tasks can run", placement, limit // 10)
    moved = drift(plan)
    drifted = _Items(moved.fields + moved.objects, _drift_items(moved, plan.base))
    since = f"from the base ({code(plan.base)})" if plan.base else "since the swarm was last applied"
    title = f"{moved} {since}, and this plan undoes that"
    parts += _alert("WARNING", title, drifted, limit // 10)
    rules = [note for note in plan.notes if note.code is ErrorCode.RULE_CHANGED]
    moves = _Items(len(rules), map(_problem_item, rules))
    parts += _alert("IMPORTANT", f"{many(moves.count, 'rule')} of swarm.yaml changed", moves, limit // 10)
    parts += _stack_table(plan, limit // 5)
    parts += _notes([note for note in plan.notes if note.code is not ErrorCode.RULE_CHANGED], limit // 10)
    return _with_objects("".join(parts), plan.actions, plan.base, limit)


def render_problems(problems: Sequence[Problem], *, marker: str = "default", limit: int = LIMIT) -> str:
    """Return the errors that kept a plan from being made, as Markdown within `limit`, ending in a newline."""
    limit = max(limit, LIMIT_MIN)
    parts = [f"{marker_line(marker)}\n", "## swarmctl: no plan\n\n"]
    title = f"**{many(len(problems), 'error')} kept the plan from being made. Nothing was changed.**\n\n"
    return "".join([*parts, title, *_within(_Items(len(problems), map(_problem_item, problems)), limit - 1_000)])


def _heading(plan: Plan) -> Iterator[str]:
    yield "## swarmctl plan\n\n"
    yield f"**{NO_CHANGES if plan.is_empty else totals(plan)}**\n\n"
    commit = f"commit {code(plan.commit[:COMMIT_CHARACTERS])}, " if plan.commit else ""
    asked = "The base of this change" if is_offline(plan) else f"The swarm at {code(plan.endpoint)}"
    relation = "is what the repository asks for" if plan.is_empty else "compared with the repository"
    yield f"{asked} {relation}: {commit}{code(plan.revision)}.\n\n"


class _Items(msgspec.Struct, frozen=True):
    """Items of a list, each made when there is still room for it, and how many they are."""

    count: int
    texts: Iterable[str]


def _alert(kind: str, title: str, items: _Items, budget: int) -> Iterator[str]:
    """Yield a box with a title and as many items as fit into the budget; nothing when there are no items."""
    if items.count:
        yield f"> [!{kind}]\n> **{title}**\n>\n"
        yield from (f"> {line}" for line in _within(items, budget))
        yield "\n"


def _within(items: _Items, budget: int) -> Iterator[str]:
    """Yield list items within a budget of units, and how many did not fit."""
    for number, item in enumerate(items.texts):
        budget -= units(item) + 4
        if budget < 0:
            yield f"- and {items.count - number} more\n"
            return
        yield item


def _problem_item(problem: Problem) -> str:
    place = f" {code(line_of(problem.place))}" if problem.place else ""
    more = "".join(f"<br>{prose(text)}" for text in (problem.why, problem.hint) if text)
    return f"- {prose(problem.what)} {code(problem.code.value)}{place}{more}\n"


def _drift_items(moved: Drift, base: str) -> Iterator[str]:
    was_so, is_so, removed = "was applied as", "is", "has been removed"
    if base:
        was_so, is_so, removed = "in the base is", "in the swarm", "is in the base and not in the swarm"
    for action in moved.removed:
        yield f"- {code(action.id)} {removed}\n"
    for action in moved.changed:
        for change in drifted_changes(action):
            applied, live = (shown(side, change, action.kind) for side in (change.applied, change.old))
            was, now = elided_pair(applied, live, 60)
            yield f"- {code(action.id)}: {code(change.path)} {was_so} {code(was)} and {is_so} {code(now)}\n"


def _stack_table(plan: Plan, budget: int) -> Iterator[str]:
    stacks = list(by_stack(plan).items())
    if not stacks:
        return
    yield "| stack | add | change | destroy | effect on running tasks |\n|---|--:|--:|--:|---|\n"
    for number, (name, actions) in enumerate(stacks):
        row = _stack_row(name, actions)
        budget -= units(row)
        if budget < 0:
            rest = counts(action for _, others in stacks[number:] for action in others)
            more = many(len(stacks) - number, "more stack")
            yield f"| {more} | {rest.add} | {rest.change} | {rest.destroy} | |\n"
            break
        yield row
    yield "\n"


def _stack_row(name: str, actions: list[Action]) -> str:
    counted = counts(actions)
    effects = [action for action in actions if action.effect is not TaskEffect.NONE]
    told = [f"{code(action.name, 60)}: {prose(action.effect_text, 120)}" for action in effects[:EFFECTS_MAX]]
    if len(effects) > EFFECTS_MAX:
        told.append(f"and {len(effects) - EFFECTS_MAX} more")
    cells = (code(name, 60), counted.add, counted.change, counted.destroy, "<br>".join(told) or "no task restarts")
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


def _notes(notes: Sequence[Problem], budget: int) -> Iterator[str]:
    if notes:
        yield f"<details><summary>{many(len(notes), 'note')}</summary>\n\n"
        yield from _within(_Items(len(notes), map(_problem_item, notes)), budget)
        yield "\n</details>\n\n"


def _with_objects(summary: str, actions: Sequence[Action], base: str, limit: int) -> str:
    """Return the summary with as many of the objects, in order, as stay within the limit."""
    parts, left = [summary], limit - units(summary) - LEFT_OUT_UNITS
    for number, action in enumerate(actions):
        text = _object(action, base, min(OBJECT_UNITS_MAX, limit // 6))
        left -= units(text)
        if left < 0:
            missing = many(len(actions) - number, "more object")
            parts.append(
                f"\n**{missing} left out here: a comment can't be longer.** `swarmctl diff` shows everything.\n"
            )
            break
        parts.append(text)
    return "".join(parts)


def _object(action: Action, base: str, budget: int) -> str:
    """Return one action as a folded block of about `budget` units at most."""
    service = action.kind is Kind.SERVICE or action.effect_text != TaskEffect.NONE.value
    effect = f": {html_prose(action.effect_text)}" if service else ""
    symbol = html_code(SYMBOLS[action.type])
    summary = f"{symbol} {html_code(elided(printable(action.id), 120))} {FUTURE[action.type]}{effect}"
    lines = [elided(line, LINE_COLUMNS_MAX) for line in _object_lines(action, base)]
    room, kept = budget - 2 * units(summary) - 100, 0
    for line in lines:
        room -= units(line) + 1
        if room < 0:
            break
        kept += 1
    if kept < len(lines):
        lines[kept:] = [f"# … {many(len(lines) - kept, 'more line')}"]
    return f"<details><summary>{summary}</summary>\n\n{fenced(lines, 'diff')}\n</details>\n"


def _object_lines(action: Action, base: str) -> Iterator[str]:
    place = line_of(action.place)
    reason = "" if action.reason == MISSING else printable(action.reason)
    about = ", ".join(part for part in (reason, place) if part) or FUTURE[action.type]
    yield f"# {about}"
    for change in action.changes:
        yield from _change_lines(change, action, base)


def _change_lines(change: Change, action: Action, base: str) -> Iterator[str]:
    """Yield one field as lines of a diff: every one begins with our own symbol, never with somebody else's word."""
    path, comment = printable(change.path), comment_of(change, action, base)
    heading = f"@@ {path} @@ {comment}".rstrip()
    behind = f"  # {comment}" if comment else ""
    old, new = shown(change.old, change, action.kind), shown(change.new, change, action.kind)
    if is_text_block(change):
        yield heading
        yield from short_block_lines(list(block_lines(change)), LINE_COLUMNS_MAX)
    elif change.old is ABSENT:
        yield f"+ {path} = {cut(new)}{behind}"
    elif change.new is ABSENT:
        yield f"- {path} = {cut(old)}{behind}"
    else:
        old, new = elided_pair(old, new, VALUE_COLUMNS_MAX)
        yield heading
        yield f"- {old}"
        yield f"+ {new}"
