"""Making a join token anew because somebody asked for it."""

from __future__ import annotations

from typing import Final

import structlog

from reconciler.controller.loop.around import Around
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.state_records import Request, RequestKind
from reconciler.controller.patience import AWAY
from reconciler.controller.tokens import rotate_join_token
from reconciler.gitops.notices import token_rotated
from reconciler.gitops.overview import ControllerEvent, EventKind
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, NodeRole
from reconciler.planning.topology.tokens import last_rotation

log = structlog.stdlib.get_logger(__name__)

_AGAIN: Final = AWAY | {ErrorCode.FENCED, ErrorCode.SWARM_UNAVAILABLE, ErrorCode.NOT_A_MANAGER}
"""What a rotation waits out: it is tried again by the next pass, or by the next leader."""


async def rotate_asked(following: Following, around: Around) -> None:
    """Carry out what rotations were asked for at one source, oldest first. Raises as writing down does."""
    name = following.source.spec.name
    for key, request in around.memory.requests(name).items():
        if request.what is not RequestKind.ROTATE:
            continue
        role = NodeRole(request.scope)
        try:
            await _rotated(around, role, request)
        except SwarmctlError as error:
            log.warning("rotation failed", role=role.value, code=error.code.value)
            if error.code in _AGAIN:
                return
            message = f"The {role.value} join token was not rotated: {error.problems[0].what}"
            failed = ControllerEvent(0, around.clock.now(), EventKind.TOKEN, message, by=request.by)
            await around.memory.given_up(key, failed, around.epoch)
            continue
        log.info("token rotated", role=role.value, by=request.by)
        state = around.memory.state(name)
        told = token_rotated(role.value, "", around.clock.now(), request.by)
        await around.memory.write(state, state, around.epoch, alerts=[told], done={key: request})


async def _rotated(around: Around, role: NodeRole, request: Request) -> None:
    """Rotate, unless an earlier leader has done so for this request and died before it could write that down."""
    cluster = await around.link.cluster()
    last = last_rotation(await cluster.get(Kind.SWARM, ""), role)
    if last is None or last < request.at:
        await rotate_join_token(cluster, role, around.clock.now())
