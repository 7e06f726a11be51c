"""What a stack, a node or the controller says of itself: Ready, Reconciling or Stalled, each with a reason code."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec


class ConditionType(enum.StrEnum):
    """Flux's three. READY: it is what Git asks for. RECONCILING: it is on its way. STALLED: it waits for somebody."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Reason(enum.StrEnum):
    """Why a condition is what it is. Programs may rely on these."""

    CONVERGED = "converged"
    APPLYING = "applying"
    PROGRESSING = "progressing"
    SOURCE_FAILED = "source-failed"
    NO_REVISION = "no-revision"
    CLUSTER_UNREACHABLE = "cluster-unreachable"
    PLAN_BLOCKED = "plan-blocked"
    DEPENDENCY_NOT_READY = "dependency-not-ready"
    SUSPENDED = "suspended"
    OUTSIDE_WINDOW = "outside-window"
    DRIFTED = "drifted"
    BACKING_OFF = "backing-off"
    APPLY_FAILED = "apply-failed"
    ROLLED_BACK = "rolled-back"
    TASKS_FAILING = "tasks-failing"
    NODE_DOWN = "node-down"
    NODE_NOT_LISTED = "node-not-listed"
    NODE_MISSING = "node-missing"


class Condition(msgspec.Struct, frozen=True):
    """One of the three. `since` is when `status` last became what it is; `message` is a sentence or "".

    Exactly one of RECONCILING and STALLED may be true, and neither while READY is.
    """

    type: ConditionType
    status: bool
    reason: Reason
    message: str
    since: datetime


Conditions = tuple[Condition, ...]
"""Ready, Reconciling, Stalled, in this order."""
