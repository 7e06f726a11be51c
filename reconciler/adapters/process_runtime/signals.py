"""Signals by the names that an engine knows (moby pkg/signal), and those that a keeper outlives."""

from __future__ import annotations

import re
import signal
import threading

NOT_CAUGHT = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT})
"""Two that nobody can catch, and two by which a shell looks after its children."""

CAUGHT = " ".join(
    str(number) for number in (*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)) if number not in NOT_CAUGHT
)

_OF_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Ignored by Python itself; subprocess hands on what they were."""

_REAL_TIME = re.compile(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?")


def hand_on_defaults() -> None:
    """Have programs begin with the default of every signal, as in a container, also where this process ignores some.

    A shell's `&` ignores SIGINT and SIGQUIT, nohup SIGHUP. What is ignored is handed on, and no shell can change it any
    more; what is caught is not handed on. For this process nothing changes. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in signal.valid_signals() - _OF_PYTHON:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _caught)


def _caught(number: int, frame: object) -> None:
    """Do nothing, as was to be done before."""


def signal_number(name: str) -> int:
    """Return the signal called `name` (SIGINT, INT, SIGRTMIN+3 or 2); one that there isn't counts as SIGTERM."""
    plain = name.upper().removeprefix("SIG")
    if plain.isascii() and plain.isdigit():
        number = int(plain)
    elif (real_time := _REAL_TIME.fullmatch(plain)) is not None:
        base, sign, steps = real_time.groups()
        first = signal.SIGRTMIN if base == "MIN" else signal.SIGRTMAX
        number = first + int(f"{sign or '+'}{steps or 0}")
    else:
        found = getattr(signal, f"SIG{plain}", None)
        number = int(found) if isinstance(found, signal.Signals) else 0
    return number if 0 < number <= signal.SIGRTMAX else int(signal.SIGTERM)
