"""When maintenance windows let changes through. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from reconciler.model.policies import Window, WindowKind

_DAYS_AHEAD: Final = 8
"""A window opens on the same days each week; a day more, for zones."""


class Opening(msgspec.Struct, frozen=True):
    """Whether changes may go through now; and when that changes, None for not within a week."""

    is_open: bool
    until: datetime | None = None


def opening(windows: Sequence[Window], now: datetime) -> Opening:
    """Return whether `windows` let changes through at `now` (aware), and until when they do or don't."""
    if not windows:
        return Opening(True)
    spans = [(window, start, end) for window in windows for start, end in _spans(window, now)]
    state = _is_open(windows, spans, now)
    # Further ahead, the spans that begin on later days are not among these.
    horizon = now + timedelta(days=_DAYS_AHEAD)
    moments = sorted({moment for _, start, end in spans for moment in (start, end) if now < moment <= horizon})
    changed = (moment for moment in moments if _is_open(windows, spans, moment) is not state)
    return Opening(state, next(changed, None))


def _is_open(windows: Sequence[Window], spans: Sequence[tuple[Window, datetime, datetime]], now: datetime) -> bool:
    active = {window.kind for window, start, end in spans if start <= now < end}
    if WindowKind.DENY in active:
        return False
    return WindowKind.ALLOW in active or all(window.kind is WindowKind.DENY for window in windows)


def _spans(window: Window, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield from when to when the window is open, as UTC, around `now`: those that began before it are among them."""
    length = timedelta(seconds=window.duration_s)
    today = now.astimezone(window.zone).date()
    for offset in range(-length.days - 2, _DAYS_AHEAD + 1):
        day = today + timedelta(days=offset)
        if day.weekday() in window.days:
            start = datetime.combine(day, window.start, tzinfo=window.zone).astimezone(UTC)
            yield start, start + length
