"""What time it is for an engine, whose clock may differ from this machine's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_RESOLUTION = timedelta(seconds=1)
"""The header `Date` leaves out fractions of a second."""
_DIFFERENCE_MAX = timedelta(days=36_525)
"""A date that is a century away is no clock's: arithmetic on it could leave the calendar."""


class EngineClock:
    """This machine's clock, shifted by as little as makes it agree with the `Date` of the engine's last answer.

    What an engine tells, it tells by its own clock: since when a task runs, when one has failed. How long ago that was
    is known by that clock only. Several threads may use it.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return this moment by the engine's clock, aware UTC; by ours as long as the engine has said no time."""
        return here() + self._ahead

    def note(self, date: str | None, asked_at: datetime, read_at: datetime) -> None:
        """Go by the header `date` of an answer, asked for and read at these moments of our clock.

        The head of the answer was written some time between the two. None, or what is no date, tells nothing.
        """
        told = _instant(date)
        if told is None or abs(told - read_at) > _DIFFERENCE_MAX:
            return
        ahead = self._ahead
        if told > read_at + ahead:
            self._ahead = told - read_at
        elif told + _RESOLUTION < asked_at + ahead:
            self._ahead = told + _RESOLUTION - asked_at


def here() -> datetime:
    """Return this moment by our own clock, aware UTC."""
    return datetime.now(UTC)


def _instant(date: str | None) -> datetime | None:
    """Return the instant, aware UTC, that an HTTP date means, or None."""
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
