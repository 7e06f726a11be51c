"""About how long a rolling update takes until the last new task runs."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from reconciler.model.json import JsonObject, dig

SECOND_NS = 1_000_000_000
LEAVE_S = 2.0
"""How long an engine waits between taking a task out of load balancing and stopping it, where it has a network."""
START_S = 1.0
"""What creating and starting a container takes, its image being there. Measured on 20.10: 0.5 s, and 1 s to kill."""
GRACE_S = 10.0
"""StopGracePeriod where a spec has none."""
OLD_TASK_WAIT_S = 60.0
"""How long the updater waits for an old task to stop before it starts the new one all the same."""
CHECK_INTERVAL_S = 30.0
"""A health check's interval where a spec has none."""


class Pace(msgspec.Struct, frozen=True):
    """How an update goes about `count` tasks: `batches` times `at_once` of them."""

    count: int
    at_once: int
    start_first: bool
    delay_s: float

    @property
    def batches(self) -> int:
        return math.ceil(self.count / self.at_once) if self.count else 0


def pace_of(spec: JsonObject, count: int) -> Pace:
    """Return the pace of an update to `spec`, whose own UpdateConfig it is that counts, for `count` tasks.

    Without an UpdateConfig Swarm takes one task at a time; in one, a Parallelism of 0 or none means all at once.
    Source: swarmkit's updater and its defaults (facts, swarmkit.md section 4).
    """
    config: dict[str, Any] | None = spec.get("UpdateConfig")
    parallelism = 1 if config is None else config.get("Parallelism") or count
    given = config or {}
    return Pace(
        count=count,
        at_once=max(1, min(parallelism, count)),
        start_first=given.get("Order") == "start-first",
        delay_s=(given.get("Delay") or 0) / SECOND_NS,
    )


def seconds(old: JsonObject, new: JsonObject, pace: Pace) -> float:
    """Return about how many seconds pass until the last of the new tasks runs.

        stop-first:   batches x (stop + start) + (batches - 1) x delay
        start-first:  batches x start + (batches - 1) x delay

    `stop` is the old spec's whole grace period, and 2 s before it where the task has networks or published ports; the
    updater waits a minute for it at most. `start` is a second, and for a health check its first interval or its start
    period, whichever is longer, since a task counts as running only once it is healthy.

    It assumes that images are there already, that programs use their grace period and start period in full (those
    that stop on SIGTERM at once are faster), that every node has room at once, that health checks pass the first time
    and that no image brings one of its own. Watching the last task for `monitor` comes on top, before Swarm calls
    the update completed.

    Source: swarmkit's updater (facts, swarmkit.md section 4) and the engine's controller of a task (1.3).
    """
    each = start_seconds(new) if pace.start_first else stop_seconds(old) + start_seconds(new)
    return pace.batches * each + max(0, pace.batches - 1) * pace.delay_s


def stop_seconds(spec: JsonObject) -> float:
    """Return how long a task of `spec` may take to stop, as the updater waits for it.

    Of a grace period the engine counts whole seconds; one below zero has no end (seen on an engine).
    """
    grace = dig(spec, "TaskTemplate", "ContainerSpec", "StopGracePeriod")
    if grace is not None and grace <= -SECOND_NS:
        return OLD_TASK_WAIT_S
    leave = LEAVE_S if dig(spec, "TaskTemplate", "Networks") or dig(spec, "EndpointSpec", "Ports") else 0.0
    return min(leave + (GRACE_S if grace is None else grace / SECOND_NS), OLD_TASK_WAIT_S)


def start_seconds(spec: JsonObject) -> float:
    """Return how long a task of `spec` takes from its creation until it counts as running."""
    check: dict[str, Any] = dig(spec, "TaskTemplate", "ContainerSpec", "Healthcheck") or {}
    test = check.get("Test") or []
    if not test or test == ["NONE"]:
        return START_S
    period = (check.get("StartPeriod") or 0) / SECOND_NS
    early = (check.get("StartInterval") or 0) / SECOND_NS if period else 0.0
    interval = early or (check.get("Interval") or 0) / SECOND_NS or CHECK_INTERVAL_S
    return START_S + max(interval, period)


def about(duration_s: float) -> str:
    """Return a duration for people, as coarse as an estimate is: "about 40 s", "about 2 min", "about 3 h"."""
    if duration_s < 10:
        return f"about {max(1, round(duration_s))} s"
    if duration_s < 57.5:
        return f"about {5 * round(duration_s / 5)} s"
    if duration_s < 115:
        return f"about {10 * round(duration_s / 10)} s"
    if duration_s < 100 * 60:
        return f"about {round(duration_s / 60)} min"
    return f"about {round(duration_s / 3600)} h"
