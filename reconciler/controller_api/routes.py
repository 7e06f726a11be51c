"""The API as a table: the application serves it, and its OpenAPI document is made of it. Values only."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Final

import msgspec

from reconciler.model.objects import NodeRole

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
NAME_CHARS_MAX: Final = 255
REASON_CHARS_MAX: Final = 500

FORMS: Final = {
    "commit": "A commit is 7 to 64 hexadecimal digits in lower case, or nothing at all.",
    "hostname": "A hostname is up to 253 letters, digits, `.`, `_` and `-`, and begins with a letter or digit.",
}
"""{field: what it looks like, in words}: for those whose pattern would be all that a caller is told."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
_Reason = Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)]
_Hostname = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$(?!\n)")]


class SyncBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which stacks to bring to what Git asks for now; none named means all."""

    stacks: Annotated[list[_Name], msgspec.Meta(max_length=1000)] = []


class SuspendBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to leave alone, "*" for all, until when, and why."""

    stack: _Name
    until: datetime | None = None
    reason: _Reason = ""


class ResumeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which suspension to end; "*" ends that of all."""

    stack: _Name


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which stack to put back, and to which commit; "" is the last good one."""

    stack: _Name
    commit: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{7,64})?$(?!\n)")] = ""


class IssueBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which join command to give out, and for which machine: that is written down."""

    role: NodeRole
    hostname: _Hostname


class RotateBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whose join token to make anew."""

    role: NodeRole


class Need(enum.StrEnum):
    """Who may ask."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    SIGNED = "signed"
    """Whoever knows a webhook's secret."""
    METRICS = "metrics"


class Query(msgspec.Struct, frozen=True):
    """One parameter of a query."""

    name: str
    about: str
    is_number: bool = False
    required: bool = False


class Route(msgspec.Struct, frozen=True):
    """One operation. `name` is its handler's, and `answer` the schema of its JSON, "" for none."""

    method: str
    path: str
    name: str
    need: Need
    about: str
    answer: str = ""
    status: int = 200
    query: tuple[Query, ...] = ()
    body: type[msgspec.Struct] | None = None
    kind: str = ""
    """What an answer is that is neither JSON nor text."""


_STACK: Final = Query("stack", "Only of this stack.")
_LIMIT: Final = Query("limit", f"At most so many, {LIMIT_DEFAULT} by default and {LIMIT_MAX} at most.", is_number=True)
_AFTER: Final = Query("after", "Only events of greater numbers, the ones next to it first.", is_number=True)
_NAME: Final = Query("name", "A task's id or the beginning of one, or a service's name or id.", required=True)

ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/healthz", "healthz", Need.OPEN, "Whether the process does its work.", "Health"),
    Route("GET", "/readyz", "readyz", Need.OPEN, "Whether this controller has the group's state.", "Health"),
    Route("GET", "/metrics", "metrics", Need.METRICS, "Metrics for Prometheus."),
    Route("GET", "/openapi.json", "openapi", Need.OPEN, "This document."),
    Route("GET", "/v1/status", "status", Need.READ, "Where everything stands.", "Status"),
    Route(
        "GET",
        "/v1/history",
        "history",
        Need.READ,
        "Applies, and join commands that were given out, newest first.",
        "History",
        query=(_STACK, _LIMIT),
    ),
    Route("GET", "/v1/events", "events", Need.READ, "What happened.", "Events", query=(_STACK, _AFTER, _LIMIT)),
    Route(
        "GET",
        "/v1/trace",
        "trace",
        Need.READ,
        "From a task or service to stack, file, line, commit and author.",
        "Trace",
        query=(_NAME,),
    ),
    Route(
        "POST", "/v1/sync", "sync", Need.WRITE, "Bring stacks to what Git asks for now.", "Accepted", 202, body=SyncBody
    ),
    Route("POST", "/v1/suspend", "suspend", Need.WRITE, "Leave a stack alone.", "Accepted", 202, body=SuspendBody),
    Route("POST", "/v1/resume", "resume", Need.WRITE, "End a suspension.", "Accepted", 202, body=ResumeBody),
    Route(
        "POST",
        "/v1/rollback",
        "rollback",
        Need.WRITE,
        "Put a stack back, and suspend it.",
        "RolledBack",
        202,
        body=RollbackBody,
    ),
    Route(
        "POST",
        "/v1/tokens/issue",
        "issue",
        Need.WRITE,
        "The command that lets a machine in; who gets it is written down.",
        "Ticket",
        body=IssueBody,
    ),
    Route(
        "POST",
        "/v1/tokens/rotate",
        "rotate",
        Need.WRITE,
        "Make the join token of a role anew.",
        "Accepted",
        202,
        body=RotateBody,
    ),
    Route(
        "GET",
        "/v1/backup",
        "backup",
        Need.WRITE,
        "A copy of the group's whole state, as a file with checksums.",
        kind="application/octet-stream",
    ),
    Route("POST", "/v1/webhook", "webhook", Need.SIGNED, "A forge's or anybody's webhook.", "Accepted", 202),
)
