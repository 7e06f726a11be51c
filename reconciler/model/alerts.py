"""What people are told in chat: one alert for an incident, one more when it is over."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec


class AlertKind(enum.StrEnum):
    """What happened. Sinks may choose by it."""

    DEPLOYED = "deployed"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    DRIFT = "drift"
    NODE = "node"
    SOURCE = "source"
    SIGNATURE = "signature-refused"
    MANIFESTS = "manifests"
    CLUSTER = "cluster"
    LEADER = "leader-changed"
    TOKEN = "token-rotated"
    CONTROLLER = "controller"


class AlertPhase(enum.StrEnum):
    """Where in its incident an alert stands."""

    NOTICE = "notice"
    """It happened, and that is all."""
    OPENED = "opened"
    GREW = "grew"
    """The same incident, with fields that were not told before."""
    FLAPPING = "flapping"
    """It comes and goes; nothing more is said of it until it has kept quiet."""
    RECOVERED = "recovered"


class FieldDifference(msgspec.Struct, frozen=True):
    """One field of a diff, as texts fit to print; secret values are told by a hash at most."""

    path: str
    applied: str
    found: str


class Alert(msgspec.Struct, frozen=True):
    """One message. `key` tells incidents apart; the same key and phase are never sent twice for one incident.

    `subject` is what it is about ("service.web_api", "web"), `next_step` what the controller does about it, and
    `commands` what a reader may run: to accept, to revert, to look. Texts hold no secret.
    """

    key: str
    kind: AlertKind
    phase: AlertPhase
    subject: str
    message: str
    at: datetime
    since: datetime
    commit: str = ""
    author: str = ""
    differences: tuple[FieldDifference, ...] = ()
    next_step: str = ""
    commands: tuple[str, ...] = ()
