"""Tasks that a swarm forgot to end. Pure.

swarmkit ends what a scale-down leaves over in one step, once. A task that reports its state in that very moment is left
out ("failed to update task to REMOVE: update out of sequence" in the log of dockerd 20.10.24), and runs until its
service is written to again. A write of the spec that the service has makes swarm count anew, and restarts nothing.
"""

from __future__ import annotations

from reconciler.controller.assess import Crew
from reconciler.controller.story import Since, is_live
from reconciler.model.json import dig
from reconciler.model.objects import ObservedObject

FORGOTTEN_GRACE_S = 10.0
"""Seconds for which too many tasks must have been wanted to run, and nothing of them moved: a new leader, or an engine
that is busy, counts late."""


def surplus(crew: Crew) -> int:
    """Return how many tasks too many swarm wants to run. Global services, jobs and updates may have more for long."""
    if crew.mode != "Replicated" or crew.service.dig("UpdateStatus", "State") not in (None, "", "completed"):
        return 0
    replicas = dig(crew.service.spec, "Mode", "Replicated", "Replicas")
    return max(0, sum(1 for task in crew.tasks if is_live(task)) - (1 if replicas is None else int(replicas)))


def forgotten(crew: Crew, since: Since, now_s: float) -> ObservedObject | None:
    """Return the service of a crew with a surplus when it is to be written again as it is; None until then.

    `since` is the memory between looks: the grace begins anew with each change, and with each answer.
    """
    seen = (crew.service.version, frozenset((task.id, task.state) for task in crew.tasks))
    if since.held_s(seen, now_s) < FORGOTTEN_GRACE_S:
        return None
    since.at_s = now_s
    return crew.service
