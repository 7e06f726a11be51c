"""What befalls the leading controller, and how it is taken back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.group.wires import Wires
from tests.e2e.controller_group import NAMES, SETTLED_S, Group
from tests.e2e.controllers import until

Act = Callable[[Group, str], None]
"""Does something to a controller of a group."""


@dataclass(frozen=True)
class Strike:
    """`begin` strikes a leader, `end` takes it back once another has finished its work."""

    name: str
    begin: Act
    end: Act
    all_die: bool = False
    """Nobody is left who could lead at once: its take-over counts the start of the program as well."""


def _kill(group: Group, leader: str) -> None:
    group.controllers[leader].kill()


def _start(group: Group, leader: str) -> None:
    group.controllers[leader].start()


def _pause(group: Group, leader: str) -> None:
    group.controllers[leader].signal(signal.SIGSTOP)


def _wake(group: Group, leader: str) -> None:
    """Let it go on, and see it notice that it leads no more."""
    epoch = group.epochs()[leader]
    group.controllers[leader].signal(signal.SIGCONT)
    _await_end(group, leader, epoch)


def _wires(group: Group) -> Wires:
    assert group.wires is not None
    return group.wires


def _cut(group: Group, leader: str) -> None:
    _wires(group).isolate(leader)


def _cut_its_words(group: Group, leader: str) -> None:
    for other in NAMES:
        if other != leader:
            _wires(group).cut(leader, other, one_way=True)


def _cut_its_ears(group: Group, leader: str) -> None:
    for other in NAMES:
        if other != leader:
            _wires(group).cut(other, leader, one_way=True)


def _heal(group: Group, leader: str) -> None:
    """It has noticed by itself, before anybody could reach it again."""
    _await_end(group, leader, group.epochs()[leader])
    _wires(group).heal()


def _await_end(group: Group, leader: str, epoch: int) -> None:
    def has_ended() -> bool:
        group.start_ended()
        return any(one["epoch"] == epoch for one in group.controllers[leader].lines("leading ended"))

    until(has_ended, f"{leader} notices", SETTLED_S)


def _kill_all(group: Group, _leader: str) -> None:
    for controller in group.controllers.values():
        controller.signal(signal.SIGKILL)
    for controller in group.controllers.values():
        controller.kill()
        controller.start()


def _nothing(_group: Group, _leader: str) -> None:
    return


KILL = Strike("kill -9", _kill, _start)
PAUSE = Strike("SIGSTOP", _pause, _wake)
CUT = Strike("partition", _cut, _heal)
CUT_WORDS = Strike("partition: unheard", _cut_its_words, _heal)
CUT_EARS = Strike("partition: deaf", _cut_its_ears, _heal)
KILL_ALL = Strike("kill -9 of all", _kill_all, _nothing, all_die=True)
CUTS = (CUT, CUT_WORDS, CUT_EARS)
