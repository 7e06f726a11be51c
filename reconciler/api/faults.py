"""Errors as the Docker Engine tells them: a status and {"message": ...}. (facts: swarmkit 7.1, 7.3, 7.4)"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from aiohttp import web

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonValue

RPC = re.compile(r"rpc error: code = (\w+) desc = ")
"""How a manager's own texts begin."""

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
NOT_PREPARED = "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster."
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
NOT_LOCKED = "swarm is not locked"
ALREADY_IN_A_SWARM = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
NOT_PART_OF_A_SWARM = "This node is not part of a swarm"
NETWORK_FROM_A_WORKER = (
    "Cannot create a multi-host network from a worker node. Please create the network from a manager node."
)
NO_ENGINE = (
    "This is an embedded swarm: it has no Docker Engine on this node, and so no containers, images, volumes or "
    "plugins of its own."
)

_FIXED = {
    ErrorCode.STALE_VERSION: (500, STALE),
    ErrorCode.NOT_IN_A_SWARM: (503, NOT_IN_A_SWARM),
    ErrorCode.NOT_A_MANAGER: (503, NOT_A_MANAGER),
    ErrorCode.SWARM_UNAVAILABLE: (500, NO_LEADER),
}
_OF_RPC = {
    "NotFound": 404,
    "InvalidArgument": 400,
    "FailedPrecondition": 400,
    "OutOfRange": 400,
    "AlreadyExists": 409,
    "Unauthenticated": 401,
    "PermissionDenied": 403,
    "Unavailable": 503,
    "Unimplemented": 501,
}
"""HTTP's status for a manager's. All others are 500 in the engine, and 400 here: none of ours is not the client's."""

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


def not_for_services(network: str) -> str:
    """Return why a service can't be attached to a network of one node."""
    return (
        f"The network {network} cannot be used with services. Only networks scoped to the swarm can be used, such as "
        "those created with the overlay driver."
    )


def in_use(network_id: str, container_id: str) -> str:
    """Return why a network that a container is on stays; an engine makes a task of each such container."""
    return f"rpc error: code = FailedPrecondition desc = network {network_id} is in use by task {container_id[:25]}"


def from_error(error: SwarmctlError) -> web.Response:
    """Return the answer for an error of the swarm; what isn't known to be ours is the client's (400)."""
    if error.code in _FIXED:
        return respond(*_FIXED[error.code])
    problem = error.problems[0]
    # `why` is the manager's own text, which clients know; `what` is ours.
    text = problem.why or problem.what
    rpc = RPC.match(text)
    status = _STATUS.get(error.code)
    if status is None and rpc is not None:
        status = _OF_RPC.get(rpc[1])
    return respond(status or 400, text)
