"""The embedded swarm's brain: the state in, the next Commands out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from reconciler.model.commands import Command
from reconciler.model.tables import ServiceRecord, Tables
from reconciler.orchestration.enforcer import enforce_constraints
from reconciler.orchestration.everywhere import reconcile_global
from reconciler.orchestration.jobs import reconcile_job
from reconciler.orchestration.reaper import reap
from reconciler.orchestration.replicated import reconcile_replicated
from reconciler.orchestration.scheduler.schedule import schedule
from reconciler.orchestration.turn import Turn


@dataclass(frozen=True, slots=True)
class Decision:
    """`commands` in the order to propose them. `wake_at` is when time alone may change the answer, None for never."""

    commands: tuple[Command, ...]
    wake_at: datetime | None


def decide(tables: Tables, now: datetime, new_id: Callable[[], str]) -> Decision:
    """Return the next steps toward what the services ask for; change nothing.

    Level-triggered: only `tables` and `now` count, whatever happened before. Apply the commands and ask again, until
    there are none: then the swarm is as it should be until something changes or `wake_at` comes. Commands of one
    pass never contradict each other, yet each may be refused as stale. `new_id` gives ids for new tasks.
    """
    turn = Turn(tables, now, new_id)
    enforce_constraints(turn)
    for service in tables.services.values():
        _reconcile(turn, service)
    schedule(turn)
    reap(turn)
    return Decision(tuple(turn.commands), turn.wake_at)


def _reconcile(turn: Turn, service: ServiceRecord) -> None:
    if service.is_job:
        reconcile_job(turn, service)
    elif service.is_global:
        reconcile_global(turn, service)
    else:
        reconcile_replicated(turn, service)


def next_wake(tables: Tables, now: datetime) -> datetime | None:
    """Return when to decide again though nothing has changed, or None."""
    return decide(tables, now, lambda: "").wake_at
