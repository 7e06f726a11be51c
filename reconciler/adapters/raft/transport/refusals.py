"""Connections that come, go, or don't come to be: one line each, and never so many lines that they are an attack."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from reconciler.model.errors import ErrorCode

_log = logging.getLogger("reconciler.adapters.raft.transport")

BURST = 20
"""Lines of one code about those who dial us that may follow one another at once."""
LINE_EVERY_S = 1.0
"""Seconds after which one more is allowed."""
TELL_EVERY_S = 5.0
"""Seconds after which the number of withheld lines is told, if no line has told it meanwhile."""
DIALLED_BURST = 2
DIALLED_LINE_EVERY_S = 30.0
"""The same for a member that we dial, several times a second for as long as it is away."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a connection is refused; `theirs` when the other side refuses it and has said so."""

    code: ErrorCode
    why: str
    theirs: bool = False


class Refused(Exception):
    """A connection that was dialled did not come to be."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


@dataclass(slots=True)
class _Allowance:
    burst: int
    every_s: float
    at_s: float
    told_s: float
    lines: float
    what: str
    withheld: int = 0


class ConnectionLog:
    """Writes a line for each connection and refusal as long as there are few, then how many more there were.

    Times are those of the event loop. Allowances are kept by code (and member, for what we dial): a bounded number.
    """

    def __init__(self) -> None:
        self._allowances: dict[str, _Allowance] = {}

    def opened(self, member: str, dialled_by: str, now_s: float) -> None:
        """There is a connection with a member."""
        if (more := self._line(member, f"with {member}", BURST, LINE_EVERY_S, now_s)) is not None:
            _log.info("Connected with %s, which %s dialled%s", member, dialled_by, more)

    def ended(self, member: str, now_s: float) -> None:
        """The connection with a member is gone."""
        if (more := self._line(member, f"with {member}", BURST, LINE_EVERY_S, now_s)) is not None:
            _log.info("Connection with %s has ended%s", member, more)

    def accepted_refused(self, source: str, refusal: Refusal, now_s: float) -> None:
        """A connection from `source` was refused."""
        if (more := self._line(refusal.code, f"refused [{refusal.code}]", BURST, LINE_EVERY_S, now_s)) is not None:
            _log.warning("Connection from %s refused [%s]: %s%s", source, refusal.code.value, refusal.why, more)

    def dialled_refused(self, member: str, address: str, refusal: Refusal, now_s: float) -> None:
        """Our connection to a member was refused, by us or by it."""
        key = f"{refusal.code} to {member}"
        if (more := self._line(key, f"refused [{key}]", DIALLED_BURST, DIALLED_LINE_EVERY_S, now_s)) is not None:
            who = f"{member} refused us" if refusal.theirs else "refused"
            _log.warning("Connection to %s at %s: %s [%s]: %s%s", member, address, who, refusal.code, refusal.why, more)

    def tell_withheld(self, now_s: float) -> None:
        """Tell what was withheld and not told for a while; to be called now and then, and at the end."""
        for allowance in self._allowances.values():
            if allowance.withheld and now_s - allowance.told_s >= max(TELL_EVERY_S, allowance.every_s):
                _log.warning("%d more connections %s", allowance.withheld, allowance.what)
                allowance.withheld, allowance.told_s = 0, now_s

    def _line(self, key: str, what: str, burst: int, every_s: float, now_s: float) -> str | None:
        """What to add to the line, or None when it is withheld."""
        allowance = self._allowances.setdefault(key, _Allowance(burst, every_s, now_s, now_s, burst, what))
        allowance.lines = min(burst, allowance.lines + (now_s - allowance.at_s) / every_s)
        allowance.at_s = now_s
        if allowance.lines < 1:
            allowance.withheld += 1
            return None
        allowance.lines -= 1
        more = f" ({allowance.withheld} more like it were not logged)" if allowance.withheld else ""
        allowance.withheld, allowance.told_s = 0, now_s
        return more
