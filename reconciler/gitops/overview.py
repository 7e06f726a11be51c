"""What a running controller says of itself: values that its API shows and its loop makes. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconciler.gitops.state import LoopState


class Health(msgspec.Struct, frozen=True):
    """`alive`: the process does its work. `ready`: what it says and takes counts. `why` is a sentence where not."""

    alive: bool = True
    ready: bool = True
    why: str = ""


class Member(msgspec.Struct, frozen=True):
    """One controller of the group. `api` is where its API is reached, "" where nobody said.

    `trouble` is why it can't follow the others, "" if it can. `behind` (changes) and `silent` (whole seconds since it
    was last heard) are None unless the asked one leads.
    """

    name: str
    api: str = ""
    leads: bool = False
    trouble: str = ""
    behind: int | None = None
    silent: int | None = None


class Overview(msgspec.Struct, frozen=True):
    """All that `swarmctl status` shows. `states` are by source; `leader` is "" while there is none.

    `passing` has for a source when the pass over it began that is under way; who does not lead knows of none.
    """

    cluster: str
    member: str
    leader: str
    epoch: int
    members: tuple[Member, ...] = ()
    states: Mapping[str, LoopState] = msgspec.field(default_factory=dict)
    last_pass: datetime | None = None
    passing: Mapping[str, datetime] = msgspec.field(default_factory=dict)


class EventKind(enum.StrEnum):
    """What the loop did or saw."""

    REVISION = "revision"
    PASS = "pass"
    APPLY = "apply"
    DRIFT = "drift"
    CONDITION = "condition"
    INCIDENT = "incident"
    REQUEST = "request"
    LEADER = "leader"
    TOKEN = "token"
    """A join token was given out, or made anew."""


class ControllerEvent(msgspec.Struct, frozen=True):
    """One thing that happened. `number` grows; `scope` is a stack's name, "node/NAME" or ""."""

    number: int
    at: datetime
    kind: EventKind
    message: str
    source: str = ""
    scope: str = ""
    commit: str = ""
    by: str = ""


class Trace(msgspec.Struct, frozen=True):
    """From a task or service back to who asked for it. What is not known is "" or 0."""

    service: str
    task: str = ""
    task_state: str = ""
    node: str = ""
    stack: str = ""
    source: str = ""
    file: str = ""
    line: int = 0
    commit: str = ""
    author: str = ""
    subject: str = ""
    applied_at: datetime | None = None
    drifted: bool = False
    """The service is not what that commit asks for."""
