"""The embedded swarm's brain in one call: the state in, the next Commands out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from reconciler.model.tables import Tables
from reconciler.orchestration.brain import Brain, Decision

__all__ = ["Decision", "decide", "next_wake"]


def decide(tables: Tables, now: datetime, new_id: Callable[[], str]) -> Decision:
    """Return what a new Brain would decide. Looks at everything: who decides again and again keeps a Brain."""
    return Brain(tables).decide(now, new_id)


def next_wake(tables: Tables, now: datetime) -> datetime | None:
    """Return when to decide again though nothing has changed, or None."""
    return decide(tables, now, lambda: "").wake_at
