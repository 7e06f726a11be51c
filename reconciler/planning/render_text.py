"""A Plan as people read it in a terminal, in Terraform's layout. Plain text; whoever prints it may colour it.

First what the cluster did without a commit, then what the plan does, then what to know besides, and the totals last,
where they are still seen when the rest has scrolled away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from reconciler.model.errors import Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Action, ActionType, Change, Origin, Plan, TaskEffect
from reconciler.model.words import many
from reconciler.planning.render_counts import MOVED, drift, drifted_changes, is_offline, totals
from reconciler.planning.render_values import (
    SYMBOLS,
    VALUE_COLUMNS_MAX,
    block_lines,
    columns,
    cut,
    elided,
    elided_pair,
    head,
    is_text_block,
    line_of,
    printable,
    short_block_lines,
    shown,
)

__all__ = ["NO_CHANGES", "problem_lines", "render", "totals"]

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

MISSING = "it does not exist"
"""The one reason for a creation that goes without saying."""

NO_CHANGES = "No changes."

WIDTH_MIN = 40
"""A narrower terminal wraps by itself: words would be cut to pieces."""

COMMENT_COLUMN_MAX = 88
"""Comments of one object line up with its longest line that ends before this column."""

COMMENT_VALUE_COLUMNS = 40
NEW_TEXT_LINES_MAX = 20
"""Lines shown of a config that is new; of one that changed, DIFF_LINES_MAX."""
DIFF_LINES_MAX = 400

INDENT = " " * 6
DEEPER = " " * 10

_WORD_ENDS = re.compile(r"(?<=\S) (?=\S)")
"""Where a sentence may be broken; indentation and what is lined up by two spaces stays."""


class _Row(msgspec.Struct, frozen=True):
    """One field: what is in front of its values, the values, the lines below it, and the comment."""

    start: str
    old: str | None
    new: str | None
    comment: str = ""
    below: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        values = " -> ".join(one for one in (self.old, self.new) if one is not None)
        return f"{self.start} {values}" if values else self.start


def render(plan: Plan, width: int | None = None) -> str:
    """Return the whole plan as text that ends in a newline.

    `width` is the terminal's, in columns: no line is longer. None is for files and pipes, where nothing is wrapped.
    Values longer than VALUE_COLUMNS_MAX are cut either way.
    """
    if width is not None:
        width = max(width, WIDTH_MIN)
    lines = [*_drift_lines(plan, width), *_action_section(plan, width)]
    for note in plan.notes:
        lines += [*problem_lines(note, "Note", width), ""]
    if plan.unplaceable:
        lines += [*_placement_lines(plan, width), ""]
    for blocked in plan.blocked:
        lines += [*problem_lines(blocked.problem, "Blocked", width), ""]
    if plan.is_empty:
        same = "The base" if is_offline(plan) else f"The swarm at {plan.endpoint}"
        lines += _wrapped(f"{NO_CHANGES} {same} is what {plan.revision} asks for.", width, "")
    else:
        lines += _wrapped(totals(plan), width, "")
    return "\n".join(lines) + "\n"


def problem_lines(problem: Problem, title: str, width: int | None = None) -> Iterator[str]:
    """Yield a problem as lines: its title, sentence and place, then why and what to do, indented."""
    place = f" {problem.place}" if problem.place else ""
    yield from _wrapped(f"{title}: {problem.what} [{problem.code}]{place}", width, "  ")
    if problem.why:
        yield from _wrapped(f"  why:  {problem.why}", width, "        ")
    if problem.hint:
        yield from _wrapped(f"  hint: {problem.hint}", width, "        ")


def _drift_lines(plan: Plan, width: int | None) -> Iterator[str]:
    moved = drift(plan)
    if not moved:
        return
    title, changed, removed = _drift_words(plan)
    yield from _wrapped(title, width)
    yield ""
    for action in moved.changed:
        yield from _wrapped(f"  # {action.kind}.{action.name} {changed}", width, "  #   ")
        rows = [_drift_row(change, action) for change in drifted_changes(action)]
        yield from _block(f'  ~ {action.kind} "{printable(action.name)}"', "", rows, width)
        yield ""
    for action in moved.removed:
        text = f"  # {action.kind}.{action.name} {removed}"
        yield from _wrapped(text, width, "  #   ")
        yield ""


def _drift_words(plan: Plan) -> tuple[str, str, str]:
    """Return the title of the drift, and what is said of an object that differs and of one that is not there.

    What differs from a base may as well be of a commit that the base does not have, or that was not applied yet.
    """
    if plan.base:
        title = f"Note: the swarm is not what the base ({plan.base}) asks for, in what this change leaves alone:"
        return title, "differs from the base", "is in the base and not in the swarm; the plan makes it"
    title = "Note: the swarm has changed since it was last applied, and no commit asked for that:"
    return title, "has been changed", "has been removed; the plan makes it again"


def _drift_row(change: Change, action: Action) -> _Row:
    """Return what the cluster did to a field: from what was last applied to what it is now."""
    step = Change(change.path, change.applied, change.old, change.sensitive)
    if change.origin is not Origin.BOTH:
        comment = "the plan puts it back"
    elif change.new is ABSENT:
        comment = "the plan removes it"
    else:
        comment = f"the plan makes it {elided(shown(change.new, change, action.kind), COMMENT_VALUE_COLUMNS)}"
    return _row(step, action.kind, comment)


def _action_section(plan: Plan, width: int | None) -> Iterator[str]:
    if not plan.actions:
        return
    other = "its base; no swarm was asked" if is_offline(plan) else f"the swarm at {plan.endpoint}"
    yield from _wrapped(f"swarmctl compared {plan.revision} with {other}.", width)
    yield from _wrapped("Actions are indicated with the following symbols:", width)
    for kind in ActionType:
        if plan.count(kind):
            yield f"{SYMBOLS[kind]:>4} {LEGEND[kind]}"
    yield ""
    yield from _wrapped("swarmctl will perform the following actions:", width)
    yield ""
    for action in plan.actions:
        yield from _action_lines(action, plan.base, width)
        yield ""


def _action_lines(action: Action, base: str, width: int | None) -> Iterator[str]:
    reason = "" if action.reason == MISSING else f": {action.reason}"
    yield from _wrapped(f"  # {action.kind}.{action.name} {FUTURE[action.type]}{reason}", width, "  #   ")
    if action.kind is Kind.SERVICE or action.effect_text != TaskEffect.NONE.value:
        yield from _wrapped(f"  # effect: {action.effect_text}", width, "  #   ")
    rows = [_row(change, action.kind, comment_of(change, action, base)) for change in action.changes]
    opening = f'{SYMBOLS[action.type]:>3} {action.kind} "{printable(action.name)}"'
    yield from _block(opening, line_of(action.place), rows, width)


def comment_of(change: Change, action: Action, base: str) -> str:
    """Return who moved the field, where that needs saying, and the line that asks for it, if it is one of its own.

    `base` is the plan's: of which what was applied is a stand-in, where it is not "".
    """
    parts = []
    if action.type is ActionType.CREATE:
        pass  # of a whole object that is gone, the section about drift tells
    elif change.origin is Origin.DRIFT:
        parts.append("drift")
    elif change.origin is Origin.BOTH:
        applied = elided(shown(change.applied, change, action.kind), COMMENT_VALUE_COLUMNS)
        parts.append(f"drift and intent, {'in the base' if base else 'was applied as'} {applied}")
    elif any(one.origin in MOVED for one in action.changes):
        parts.append("intent" if change.origin is Origin.INTENT else "nothing recorded")
    place = line_of(change.place)
    if place and place != line_of(action.place):
        parts.append(place)
    return ", ".join(parts)


def _row(change: Change, kind: Kind, comment: str) -> _Row:
    path = printable(change.path)
    symbol = "+" if change.old is ABSENT else "-" if change.new is ABSENT else "~"
    start = f"{INDENT}{symbol} {path} ="
    if is_text_block(change):
        return _Row(start, None, None, comment, tuple(_bounded(change)))
    old, new = shown(change.old, change, kind), shown(change.new, change, kind)
    if change.old is ABSENT:
        return _Row(start, None, cut(new), comment)
    if change.new is ABSENT:
        return _Row(start, cut(old), "null", comment)
    short_old, short_new = elided_pair(old, new, VALUE_COLUMNS_MAX)
    return _Row(start, short_old, short_new, comment)


def _bounded(change: Change) -> Iterator[str]:
    """Yield the lines of a text that changed, and how many more there are."""
    limit = DIFF_LINES_MAX if change.old is not ABSENT and change.new is not ABSENT else NEW_TEXT_LINES_MAX
    lines = list(block_lines(change))
    yield from short_block_lines(lines[:limit], 2 * VALUE_COLUMNS_MAX)
    if len(lines) > limit:
        yield f"… {many(len(lines) - limit, 'more line')}"


def _block(opening: str, place: str, rows: list[_Row], width: int | None) -> Iterator[str]:
    first = _Row(f"{opening} {{" if rows else opening, None, None, place)
    aligned = _comment_column((first, *rows), width)
    for row in (first, *rows):
        yield from _row_lines(row, aligned, width)
    if rows:
        yield "    }"


def _comment_column(rows: Iterable[_Row], width: int | None) -> int:
    """Return the column at which comments begin; longer lines have theirs behind them."""
    commented = [row for row in rows if row.comment]
    longest = max((columns(row.comment) for row in commented), default=0)
    limit = COMMENT_COLUMN_MAX if width is None else min(COMMENT_COLUMN_MAX, width - longest - 2)
    return 2 + max((size for row in commented if (size := columns(row.text)) + 2 <= limit), default=0)


def _row_lines(row: _Row, aligned: int, width: int | None) -> Iterator[str]:
    text = row.text
    comment = f"# {row.comment}" if row.comment else ""
    gap = max(2, aligned - columns(text))
    if not comment:
        whole = text
    elif width is not None and columns(text) + gap + columns(comment) > width:
        gap = 2
        whole = f"{text}  {comment}"
    else:
        whole = f"{text}{' ' * gap}{comment}"
    if width is None or columns(whole) <= width:
        yield whole
    elif columns(text) <= width:
        yield text
        yield from _wrapped(DEEPER + comment, width, f"{DEEPER}# ")
    else:
        yield from _folded(row, width)
        yield from _wrapped(DEEPER + comment, width, f"{DEEPER}# ") if comment else ()
    for line in row.below:
        yield from _broken(DEEPER + line if line else "", width, f"{DEEPER}  ")


def _folded(row: _Row, width: int) -> Iterator[str]:
    """Yield a field whose values don't fit behind it, with each below it."""
    yield from _broken(row.start, width, f"{INDENT}  ")
    both = row.old is not None and row.new is not None
    if row.old is not None:
        yield from _broken(f"{DEEPER}{'- ' if both else ''}{row.old}", width, f"{DEEPER}    ")
    if row.new is not None:
        yield from _broken(f"{DEEPER}{'+ ' if both else ''}{row.new}", width, f"{DEEPER}    ")


def _placement_lines(plan: Plan, width: int | None) -> Iterator[str]:
    yield from _wrapped(f"Placement: {many(len(plan.unplaceable), 'finding')} about where tasks can run.", width)
    for problem in plan.unplaceable:
        title = "  Warning" if problem.severity is Severity.WARNING else "  Error"
        for number, line in enumerate(problem_lines(problem, title, width and width - 2)):
            yield line if number == 0 else f"  {line}"


def _wrapped(text: str, width: int | None, hanging: str = "") -> Iterator[str]:
    """Yield a sentence as printable lines of at most `width` columns, broken between words where that can be."""
    text = printable(text)
    if width is None or columns(text) <= width:
        yield text
        return
    line = ""
    for word in _WORD_ENDS.split(text):
        candidate = f"{line} {word}" if line else word
        if columns(candidate) <= width:
            line = candidate
            continue
        if line:
            yield line
        *full, line = _broken(hanging + word if line else word, width, hanging)
        yield from full
    yield line


def _broken(text: str, width: int | None, hanging: str) -> Iterator[str]:
    """Yield printable `text` in lines of at most `width` columns, broken wherever a line is full."""
    while width is not None and columns(text) > width:
        line = head(text, width)
        yield line
        text = hanging + text[len(line) :]
    yield text
