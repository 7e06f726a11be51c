"""How values look when people read them, in a terminal or in a comment: printable, bounded, nothing sensitive."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile

from reconciler.model.errors import Place
from reconciler.model.json import JsonValue
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, SENSITIVE, Absent, ActionType, Change
from reconciler.model.sensitive import is_stand_in

SYMBOLS = {
    ActionType.CREATE: "+",
    ActionType.UPDATE: "~",
    ActionType.REPLACE: "-/+",
    ActionType.DELETE: "-",
}

VALUE_COLUMNS_MAX = 160
"""A longer value is cut in text, wherever it goes; `--format json` has it whole."""

DURATIONS = frozenset(
    {"Delay", "HeartbeatPeriod", "Interval", "Monitor", "NodeCertExpiry", "StartInterval", "StartPeriod",
     "StopGracePeriod", "Timeout", "Window"}
)  # fmt: skip
"""Fields that hold nanoseconds; shown as 1m30s."""

CONTENT_LABEL = re.compile(r"scrypt:([0-9a-f]{8})[0-9a-f]*")
"""What planning/contents.py knows a secret's content by."""

NO_TEXT = re.compile(r"\(\d+ bytes, sha256 [0-9a-f]{8}\)")
"""What planning/config_contents.py shows of a content that is no text."""

DIFF_CONTEXT_LINES = 2
PARTNERS_MAX = 40
"""Lines among which the one is looked for that a long line takes the place of."""

DIFF_INPUT_LINES_MAX = 5_000
"""Where two texts differ over more lines than this, they are not compared line by line, which might take minutes."""

ELLIPSIS = "…"


def printable(text: str, keep: str = "") -> str:
    r"""Return `text` with everything that a terminal might obey, or not show, written as \x1b, \u202e and so on.

    Characters in `keep` stay. Whoever names a label, or writes a config, is not to move a reader's cursor, hide a
    line or turn it round.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    code = ord(character)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def columns(text: str) -> int:
    """Return how many columns of a terminal printable `text` takes at most: a tab 8, a combining mark one of its own.

    So no text of few columns is long, whatever somebody has piled up on a letter.
    """
    if text.isascii():
        return len(text) + 7 * text.count("\t")
    return sum(_character_columns(one) for one in text)


def _character_columns(character: str) -> int:
    if character == "\t":
        return 8
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def head(text: str, room: int) -> str:
    """Return as much of the beginning of `text` as fits into `room` columns."""
    if _fits(text, room):
        return text
    taken = 0
    for end, character in enumerate(text):
        taken += _character_columns(character)
        if taken > room:
            return text[:end]
    return text


def tail(text: str, room: int) -> str:
    """Return as much of the end of `text` as fits into `room` columns."""
    return head(text[max(0, len(text) - room) :][::-1], room)[::-1]


def _fits(text: str, room: int) -> bool:
    return len(text) <= room and columns(text) <= room  # a character takes a column at least


def elided(text: str, room: int) -> str:
    """Return `text` in at most `room` columns (1 at least), cut in the middle, where names say least."""
    if _fits(text, room):
        return text
    end = tail(text, max(0, room - 1) // 2)
    return head(text, max(0, room - 1 - columns(end))) + ELLIPSIS + end


def elided_pair(old: str, new: str, room: int) -> tuple[str, str]:
    """Return both in at most `room` columns (24 at least) each, so that their first difference stays in sight."""
    if _fits(old, room) and _fits(new, room):
        return old, new
    common = _common(old, new)
    before = tail(old[:common], room // 4)
    skipped = common - len(before)
    if skipped == 0:
        return elided(old, room), elided(new, room)
    return ELLIPSIS + elided(old[skipped:], room - 1), ELLIPSIS + elided(new[skipped:], room - 1)


def shown(value: JsonValue | Absent, change: Change, kind: Kind) -> str:
    """Return a value on one line, whole: JSON without anything unprintable; never what is sensitive.

    Of a secret's content the beginning of its slow, salted hash is shown, which its name in the cluster has as well; of
    a value that is not to be shown, what the differ put in its place.
    """
    if isinstance(value, Absent):
        return "null"
    if kind is Kind.SECRET and change.path == "Data":
        label = CONTENT_LABEL.fullmatch(value) if isinstance(value, str) else None
        return f"(sensitive value, hash {label[1]})" if label else SENSITIVE
    if change.sensitive:
        return value if isinstance(value, str) and is_stand_in(value) else SENSITIVE
    if change.path.rsplit(".", 1)[-1] in DURATIONS and isinstance(value, int) and not isinstance(value, bool):
        return duration(value)
    return printable(json.dumps(value, ensure_ascii=False, sort_keys=True))


def cut(text: str) -> str:
    """Return a shown value no longer than VALUE_COLUMNS_MAX, with its length where it was cut."""
    if _fits(text, VALUE_COLUMNS_MAX):
        return text
    return f"{elided(text, VALUE_COLUMNS_MAX)} ({len(text)} characters)"


def duration(nanoseconds: int) -> str:
    """Return nanoseconds as stack files write a duration: 1h2m3.5s; what is no whole microsecond stays a number."""
    if nanoseconds % 1000:
        return str(nanoseconds)
    if nanoseconds < 0:
        return f"-{duration(-nanoseconds)}"
    seconds, rest = divmod(nanoseconds, 10**9)
    if not seconds and rest:
        return f"{rest // 10**6}ms" if rest % 10**6 == 0 else f"{rest // 1000}us"
    hours, minutes, last = seconds // 3600, seconds // 60 % 60, seconds % 60
    fraction = f"{last}.{rest:09}".rstrip("0") if rest else str(last)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return "".join(parts) + (f"{fraction}s" if fraction != "0" or not any(parts) else "")


def line_of(place: Place | None) -> str:
    """Return a place as file:line, printable; "" for none."""
    if place is None:
        return ""
    file = printable(place.file)
    return f"{file}:{place.line}" if place.line else file


def is_text_block(change: Change) -> bool:
    """Whether a change is best told line by line: a text of several lines on one side at least, and text on both."""
    sides = [side for side in (change.old, change.new) if side is not ABSENT]
    return (
        not change.sensitive and all(isinstance(one, str) for one in sides) and any("\n" in str(one) for one in sides)
    )


def block_lines(change: Change) -> Iterator[str]:
    """Yield a text that changed as a unified diff without its header: lines are empty or begin with +, -, @ or space.

    Only for what `is_text_block` says. Nothing is cut, but for texts that are too long to be compared by lines.
    """
    old, new = (_lines("" if isinstance(side, Absent) else side) for side in (change.old, change.new))
    same_head = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))
    if max(len(old), len(new)) - same_head > DIFF_INPUT_LINES_MAX and old and new:
        yield f"@@ {len(old)} lines become {len(new)}, too many to compare; the first to differ is {same_head + 1} @@"
        yield from (f"-{line}" for line in old[same_head : same_head + 1])
        yield from (f"+{line}" for line in new[same_head : same_head + 1])
        return
    if not old or not new:
        yield from (f"-{line}" for line in old)
        yield from (f"+{line}" for line in new)
        return
    # What comes before the first difference is the same, and need not be searched.
    skipped = max(0, same_head - DIFF_CONTEXT_LINES)
    lines = difflib.unified_diff(old[skipped:], new[skipped:], lineterm="", n=DIFF_CONTEXT_LINES)
    yield from ("" if line == " " else _moved(line, skipped) for line in list(lines)[2:])


def short_block_lines(lines: Sequence[str], room: int) -> Iterator[str]:
    """Yield lines of `block_lines`, each in at most `room` columns (25 at least).

    Of a line that is cut, what differs from the line that it takes the place of, or that takes its place, stays in
    sight: a file of one long line would else show the same twice.
    """
    for differs, group in groupby(lines, key=lambda line: line[:1] in ("-", "+")):
        run = list(group)
        for line in run:
            long = differs and not _fits(line, room)
            others = [other for other in run if other[0] != line[0]] if long else []
            likest = max(others[:PARTNERS_MAX], key=lambda other: _common(line[1:], other[1:]), default=None)
            yield elided(line, room) if likest is None else line[0] + elided_pair(line[1:], likest[1:], room - 1)[0]


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with that are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _moved(line: str, skipped: int) -> str:
    """Return a line of a diff whose @@ counts from where the comparison began."""
    if not line.startswith("@@"):
        return line
    return re.sub(r"([-+])(\d+)", lambda match: f"{match[1]}{int(match[2]) + skipped}", line, count=2)


def _lines(text: str) -> list[str]:
    """Return the printable lines of a text; that the last one does not end is told, as diff tells it.

    Only a line feed ends a line, so that a change from CRLF to LF is seen. What stands for a content that is no text
    has no lines that could end.
    """
    if NO_TEXT.fullmatch(text):
        return [text]
    lines = [printable(line, keep="\t") for line in text.split("\n")]
    if lines[-1] == "":
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}  (no line feed at the end)"]
