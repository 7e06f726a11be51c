"""The live table of an apply: a line for each action under way and each awaited service, as many as fit the screen.

What needs a person comes first, what is done last; what has no room is counted in one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.text import Text

from reconciler.cli.inert import inert
from reconciler.cli.terminal import VERDICT_STYLES
from reconciler.model.progress import Assessment, Verdict

BAR_CELLS = 10
BAR_FROM_COLUMNS = 72
"""Columns of a terminal from which on there is room for a bar beside the reason."""

NAME_COLUMNS_MIN = 12
LINES_MIN = 4
"""Lines of the table however low the screen is: one service, what is left out, and the sum."""

ACTIONS_PART = 3
"""Actions under way take at most one in so many lines; there are as many as writes go out at once."""


class Screen(msgspec.Struct, frozen=True):
    """What there is to draw on; `plain` where the encoding has no lines and no ellipsis."""

    columns: int
    lines: int
    plain: bool = False

    @property
    def ellipsis(self) -> str:
        return "..." if self.plain else "…"


def table(actions: Sequence[str], services: Sequence[Assessment], waited_s: float, screen: Screen) -> list[Text]:
    """Return the lines, each no wider than the screen, and fewer than it has: a line is left for the cursor."""
    room = max(LINES_MIN, screen.lines - 1) - (1 if services else 0)
    shown_actions = _counted([Text(action) for action in actions], _actions_room(len(actions), services, room))
    rows = sorted(services, key=_urgency)
    fitting = room - len(shown_actions)
    if len(rows) > fitting:
        rows = rows[: max(1, fitting - 1)]
    lines = [*shown_actions, *_service_lines(rows, services, screen)]
    if len(rows) < len(services):
        lines.append(_left_out(services, rows, screen))
    if services:
        lines.append(_sum(services, waited_s))
    for line in lines:
        _cut(line, screen)
    return lines


def word(one: Assessment) -> str:
    """Return in a word or two where a service stands."""
    if one.verdict is Verdict.CONVERGED:
        return "complete" if one.is_job else "running"
    if one.verdict is not Verdict.PROGRESSING:
        return one.verdict.value
    if one.is_job:
        return "job runs"
    if one.running >= one.wanted and not one.older:
        return "settling"
    return "updating" if one.older else "starting"


def _urgency(one: Assessment) -> tuple[int, str]:
    """Sort key: failures, then what is explained by a reason, then what is on its way, then what is done."""
    if one.verdict is Verdict.CONVERGED:
        return 3, one.service
    if one.verdict is not Verdict.PROGRESSING:
        return 0, one.service
    return (1 if one.message else 2), one.service


def _style(one: Assessment) -> str:
    if one.verdict is Verdict.PROGRESSING and not one.message:
        return "cyan"
    return VERDICT_STYLES[one.verdict]


def _actions_room(count: int, services: Sequence[Assessment], room: int) -> int:
    return min(count, room if not services else max(1, room // ACTIONS_PART))


def _counted(lines: list[Text], room: int) -> list[Text]:
    """Return at most `room` lines; the last one then counts the others."""
    if len(lines) <= room:
        return lines
    left = len(lines) - room + 1
    return [*lines[: room - 1], Text(f"and {left} more actions", style="dim")]


def _service_lines(rows: Sequence[Assessment], all_of_them: Sequence[Assessment], screen: Screen) -> list[Text]:
    names = max((cell_len(one.service) for one in all_of_them), default=0)
    names = min(names, max(NAME_COLUMNS_MIN, screen.columns // 3))
    words = max((len(word(one)) for one in all_of_them), default=0)
    counts = max((len(_count(one)) for one in all_of_them), default=0)
    lines = []
    for one in rows:
        name = Text(one.service)
        _cut(name, Screen(names, 1, screen.plain))
        name.pad_right(names - name.cell_len)
        line = name
        if screen.columns >= BAR_FROM_COLUMNS:
            line.append(" ").append(_bar(one, plain=screen.plain), style=_style(one))
        line.append(f" {_count(one):>{counts}}")
        line.append(f" {word(one):<{words}}", style=_style(one))
        reason = _reason(one)
        lines.append(line.append(f"  {reason}") if reason else line)
    return lines


def _reason(one: Assessment) -> str:
    if one.message or one.verdict is not Verdict.PROGRESSING:
        return inert(" ".join(one.message.split()))
    if word(one) == "settling":
        return "watching whether they stay up"
    if one.older:
        return "1 of the old tasks still runs" if one.older == 1 else f"{one.older} of the old tasks still run"
    return ""


def _count(one: Assessment) -> str:
    return f"{one.running}/{one.wanted}"


def _bar(one: Assessment, *, plain: bool) -> str:
    filled = BAR_CELLS if not one.wanted else min(BAR_CELLS, BAR_CELLS * one.running // one.wanted)
    full, empty = ("=", "-") if plain else ("━", "╌")
    return full * filled + empty * (BAR_CELLS - filled)


def _left_out(services: Sequence[Assessment], shown: Sequence[Assessment], screen: Screen) -> Text:
    left = Counter(word(one) for one in services) - Counter(word(one) for one in shown)
    parts = ", ".join(f"{number} {state}" for state, number in left.most_common())
    return Text(f"{screen.ellipsis} and {left.total()} more: {parts}", style="dim")


def _sum(services: Sequence[Assessment], waited_s: float) -> Text:
    done = sum(1 for one in services if one.verdict is Verdict.CONVERGED)
    return Text(f"{done} of {len(services)} services converged, {waited_s:.0f} s", style="dim")


def _cut(line: Text, screen: Screen) -> None:
    """Cut a line to the screen's width, with a sign that there was more."""
    if line.cell_len > screen.columns:
        line.truncate(max(0, screen.columns - len(screen.ellipsis)))
        line.append(screen.ellipsis)
