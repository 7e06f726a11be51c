"""Events that a cluster sends. They wake a reader; each pass then reads the whole state."""

from __future__ import annotations

import msgspec


class ClusterEvent(msgspec.Struct, frozen=True):
    """Something changed: `kind` is the Engine API's Type, `action` its Action (create, update, remove).

    `at` is seconds since the epoch by the engine's clock. `attributes` are what else the event tells, as (name, value).
    """

    kind: str
    action: str
    object_id: str
    name: str
    at: float
    attributes: tuple[tuple[str, str], ...] = ()
