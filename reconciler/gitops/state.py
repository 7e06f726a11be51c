"""What the loop remembers from pass to pass, for one source: values that every controller of the group has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from reconciler.model.alerts import AlertKind, FieldDifference
from reconciler.model.conditions import Conditions
from reconciler.model.errors import ErrorCode
from reconciler.model.sources import SourceStatus

CLUSTER: Final = ""
"""The scope of what belongs to no stack: nodes, the swarm's settings, networks and services outside stacks."""

EVERYTHING: Final = "*"
"""The scope of a suspension that holds all."""


class Applied(msgspec.Struct, frozen=True):
    """The last revision with which something of a scope was written, and converged.

    `identity` is "" where a rollback has put it back to that commit.
    """

    commit: str
    identity: str
    at: datetime


class Attempt(msgspec.Struct, frozen=True):
    """The last apply of a scope that failed.

    `identity` is that of the revision, `fingerprint` what the cluster's specs were right after: while both are the
    same, another try would end the same way. `passing` failures are tried again all the same, with a growing wait;
    `failures` counts those in a row.
    """

    identity: str
    fingerprint: str
    at: datetime
    code: ErrorCode
    what: str
    passing: bool = False
    failures: int = 1


class Begun(msgspec.Struct, frozen=True):
    """An apply of one scope of which nobody has written down yet how it ended: who carries it out may die.

    `commit` is what it brings, `identity` that of the newest revision in force that asks for the same of this scope.
    `by_git` says that it does more than put drift back. `actions` counts its writes.
    """

    commit: str
    identity: str
    author: str
    subject: str
    by_git: bool
    actions: int


class ScopeState(msgspec.Struct, frozen=True):
    """One stack, or what belongs to none."""

    applied: Applied | None = None
    attempt: Attempt | None = None
    conditions: Conditions = ()
    begun: Begun | None = None


class DriftIncident(msgspec.Struct, frozen=True):
    """One object that is not what was last applied. `paths` are all fields that were ever part of it, sorted.

    `healed` says that we wrote it since. `opened` has when it began, and before that when it did in the last hour.
    """

    object_id: str
    scope: str
    since: datetime
    paths: tuple[str, ...]
    commit: str = ""
    differences: tuple[FieldDifference, ...] = ()
    healed: bool = False


class Incident(msgspec.Struct, frozen=True):
    """Something that people were told of. `closed` is None while it lasts.

    `opened` are the moments at which it opened lately, oldest first; `told` the fields that alerts have named.
    """

    key: str
    kind: AlertKind
    subject: str
    since: datetime
    opened: tuple[datetime, ...]
    told: tuple[str, ...] = ()
    silenced: bool = False
    closed: datetime | None = None


class Suspension(msgspec.Struct, frozen=True):
    """Nothing of a scope is written until `until`, or until somebody resumes it. `by` is who asked."""

    scope: str
    since: datetime
    by: str = ""
    reason: str = ""
    until: datetime | None = None


class LoopState(msgspec.Struct, frozen=True):
    """All of it. The maps are by scope, object id, incident key and scope."""

    source: SourceStatus
    scopes: Mapping[str, ScopeState] = msgspec.field(default_factory=dict)
    drifts: Mapping[str, DriftIncident] = msgspec.field(default_factory=dict)
    incidents: Mapping[str, Incident] = msgspec.field(default_factory=dict)
    suspensions: Mapping[str, Suspension] = msgspec.field(default_factory=dict)

    def scope(self, name: str) -> ScopeState:
        """Return one scope's state, an empty one where nothing is known."""
        return self.scopes.get(name, ScopeState())

    @property
    def begun(self) -> dict[str, Begun]:
        """Return {scope: the apply of it that is not written down yet}."""
        return {name: one.begun for name, one in self.scopes.items() if one.begun is not None}

    def suspension(self, scope: str, now: datetime) -> Suspension | None:
        """Return what holds a scope at `now`, or None."""
        for name in (EVERYTHING, scope):
            found = self.suspensions.get(name)
            if found is not None and (found.until is None or found.until > now):
                return found
        return None
