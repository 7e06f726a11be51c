"""Errors as the Docker Engine tells them: a status and {"message": ...}. (facts: swarmkit 7.1, 7.3, 7.4)"""

from __future__ import annotations

import json
from dataclasses import dataclass

from aiohttp import web

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonValue

IN_USE = "is in use by"
"""What clients, ours included, recognise a refused removal by."""

STALE = "rpc error: code = Unknown desc = update out of sequence"
NOT_IN_A_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are "
    "online. Make sure more than half of the managers are online."
)
ALREADY_IN_A_SWARM = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)

_FIXED = {
    ErrorCode.STALE_VERSION: (500, STALE),
    ErrorCode.NOT_IN_A_SWARM: (503, NOT_IN_A_SWARM),
    ErrorCode.NOT_A_MANAGER: (503, NOT_A_MANAGER),
    ErrorCode.SWARM_UNAVAILABLE: (500, NO_LEADER),
}
_STATUS = {
    ErrorCode.OBJECT_NOT_FOUND: 404,
    ErrorCode.NAME_CONFLICT: 409,
    ErrorCode.NOT_UPDATABLE: 501,
    ErrorCode.ENGINE_UNREACHABLE: 503,
    ErrorCode.EMBEDDED_NOT_RUNNING: 503,
    ErrorCode.EMBEDDED_FAILED: 500,
    ErrorCode.INTERNAL: 500,
}


@dataclass
class Refused(Exception):
    """A request that is answered with an error. `message` is what the docker CLI prints."""

    status: int
    message: str


def as_json(value: JsonValue, status: int = 200) -> web.Response:
    """Return a JSON answer. The docker CLI reads an error's message only of a type without a charset."""
    return web.Response(body=json.dumps(value).encode(), status=status, content_type="application/json")


def respond(status: int, message: str) -> web.Response:
    """Return the answer for an error."""
    return as_json({"message": message}, status)


def from_error(error: SwarmctlError) -> web.Response:
    """Return the answer for an error of the swarm; what isn't known to be ours is the client's (400)."""
    if error.code in _FIXED:
        return respond(*_FIXED[error.code])
    problem = error.problems[0]
    # `why` is the manager's own text, which clients know; `what` is ours.
    text = problem.why or problem.what
    if error.code is ErrorCode.OBJECT_IN_USE and IN_USE not in text:
        text = f"the object {IN_USE} something else: {text}"
    return respond(_STATUS.get(error.code, 400), text)
