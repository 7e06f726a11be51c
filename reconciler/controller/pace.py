"""When those who wait for tasks look next. Pure: what the last look told and the time in, a pause out.

Swarm sends no event for a task, so there is nothing to be woken by; and each look takes time from the engine that is to
start the very tasks that are waited for.
"""

from __future__ import annotations

import msgspec

POLL_S = 0.25
"""Seconds at least between looks, but for one at a moment at which something is due."""

POLL_MAX_S = 3.0
PAUSE_PER_LOOK = 100
"""A pause lasts so many times as long as the look before it, up to POLL_MAX_S: a swarm that answers slowly is busy
starting tasks."""

PAUSE_PART = 0.25
"""But no longer than this part of the wait so far: what is done quickly is also told quickly."""

START_S = 0.08
"""Seconds that a node needs for each task it is to start; before that many have passed there is little to be seen.
(20 to 27 s for 100 on three engines that share two cores; three tasks make no difference.)"""

FIRST_PAUSE_MAX_S = 1.0
"""Before the first look at a service nobody knows how many tasks it has, or whether it has any."""

OPEN_PAUSE_S = 2.0
"""Seconds at least before a look while the apply still writes, or waits for a node: the engine has more to do then."""

TASKS_ALONE_MIN = 10
"""Where fewer tasks are still to come up, a look that reads them alone spares too little: the next one may be the last,
which reads all."""

WHOLE_EVERY_S = 10.0
"""Seconds after which services and nodes are read again, though no task tells that anything became of them."""

STRETCH = 1.5
"""A pause may be so many times as long where everything is decided at its end."""

JUST_AFTER_S = 0.01
"""What is due at a moment is looked at so many seconds after it."""

OVERDUE_S = 2.0
"""Seconds for which what was due at a moment, and had not come about yet, is looked at again every POLL_S: an update
that the swarm itself watches is over a little later than its tasks and its monitor period tell."""


class Outlook(msgspec.Struct, frozen=True):
    """What a look tells of the next one. Moments are the event loop's, in seconds."""

    starting: int = 0
    """Tasks that are still to come up."""
    nodes: int = 1
    """Nodes that take tasks."""
    settled_s: float | None = None
    """When all that has not ended will have, if nothing happens any more; None while anything is on its way."""
    due_s: tuple[float, ...] = ()
    """When time alone makes another verdict of what has not ended."""
    tasks_tell: bool = False
    """Whether tasks alone would show at the next look that anything but time has changed."""


def pause_s(outlook: Outlook, now_s: float, *, waited_s: float, took_s: float) -> float:
    """Return the seconds from `now_s` until the next look.

    `waited_s` is how long what joined last has been waited for, `took_s` how long the last look took. What falls
    due meanwhile waits for the last of it, and while many tasks start for half of the pause: a hundred services that
    have come up one after another are not looked at a hundred times.
    """
    regular_s = min(PAUSE_PER_LOOK * took_s, PAUSE_PART * waited_s)
    regular_s = min(max(POLL_S, regular_s, starts_s(outlook.starting, outlook.nodes)), POLL_MAX_S)
    if outlook.settled_s is not None:
        left_s = outlook.settled_s - now_s
        if 0 < left_s <= STRETCH * regular_s:
            return left_s + JUST_AFTER_S
        if -OVERDUE_S < left_s <= 0:
            return POLL_S
    busy = starts_s(outlook.starting, outlook.nodes) > POLL_S
    early_s = regular_s / 2 if busy else 0.0
    soon_s = [due - now_s for due in outlook.due_s if early_s < due - now_s < regular_s]
    return max(soon_s) + JUST_AFTER_S if soon_s else regular_s


def first_pause_s(services: int, nodes: int) -> float:
    """Return the seconds from the last write until the first look at so many services: none where these are few."""
    expected_s = starts_s(services, nodes)
    return 0.0 if expected_s < POLL_S else min(expected_s, FIRST_PAUSE_MAX_S)


def tasks_alone(outlook: Outlook, *, whole_s_ago: float) -> bool:
    """Return whether the next look need read no more than tasks; `whole_s_ago` is when one last read everything."""
    return outlook.tasks_tell and outlook.starting >= TASKS_ALONE_MIN and whole_s_ago < WHOLE_EVERY_S


def starts_s(tasks: int, nodes: int) -> float:
    """Return for how many seconds so many nodes are busy starting so many tasks."""
    return START_S * tasks / max(nodes, 1)
