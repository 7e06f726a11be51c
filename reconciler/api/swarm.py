"""The swarm itself over HTTP: to look at it, to begin, join and leave one, its settings, tokens and keys."""

from __future__ import annotations

import msgspec
from aiohttp import web

from reconciler.api import faults
from reconciler.api.faults import Refused, as_json
from reconciler.api.node import cluster_shown, swarm_of
from reconciler.api.objects import whole
from reconciler.api.ports import LocalNode, LocalState
from reconciler.api.queries import body_of, flag, strict_flag, version_of
from reconciler.api.schemas import INIT, JOIN, SWARM_SPEC, UNLOCK
from reconciler.model.objects import Kind, NodeRole

ROTATIONS = {NodeRole.WORKER: "rotateWorkerToken", NodeRole.MANAGER: "rotateManagerToken"}


class Swarm(msgspec.Struct, frozen=True):
    """Handlers of the swarm itself."""

    node: LocalNode

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/swarm", self.inspect),
            web.post("/swarm/init", self.init),
            web.post("/swarm/join", self.join),
            web.post("/swarm/leave", self.leave),
            web.post("/swarm/update", self.update),
            web.post("/swarm/unlock", self.unlock),
            web.get("/swarm/unlockkey", self.unlock_key),
        ]

    async def inspect(self, _: web.Request) -> web.Response:
        cluster = swarm_of(self.node)
        tokens = cluster.join_tokens
        raw = await cluster_shown(cluster, self.node.standing())
        return as_json({**raw, "JoinTokens": {"Worker": tokens.worker, "Manager": tokens.manager}})

    async def init(self, request: web.Request) -> web.Response:
        body = await body_of(request, INIT)
        self._refuse_twice(force=bool(body.get("ForceNewCluster")))
        return as_json(await whole(self.node.init(body)))

    async def join(self, request: web.Request) -> web.Response:
        body = await body_of(request, JOIN)
        self._refuse_twice()
        if not body.get("ListenAddr"):
            raise Refused(400, 'invalid ListenAddr "": invalid empty address')
        if not body.get("RemoteAddrs"):
            raise Refused(400, "at least 1 RemoteAddr is required to join")
        await whole(self.node.join(body))
        return web.Response()

    def _refuse_twice(self, *, force: bool = False) -> None:
        if self.node.standing().state is not LocalState.INACTIVE and not force:
            raise Refused(503, faults.ALREADY_IN_A_SWARM)

    async def leave(self, request: web.Request) -> web.Response:
        if self.node.standing().state is LocalState.INACTIVE:
            raise Refused(503, faults.NOT_PART_OF_A_SWARM)
        await whole(self.node.leave(force=flag(request, "force")))
        return web.Response()

    async def update(self, request: web.Request) -> web.Response:
        swarm_of(self.node)
        version = version_of(request, Kind.SWARM)
        spec = await body_of(request, SWARM_SPEC)
        roles = [role for role, name in ROTATIONS.items() if strict_flag(request, name)]
        new_key = strict_flag(request, "rotateManagerUnlockKey")
        await whole(self.node.update_swarm(version, spec, rotate=roles, rotate_unlock_key=new_key))
        return web.Response()

    async def unlock(self, request: web.Request) -> web.Response:
        key = (await body_of(request, UNLOCK)).get("UnlockKey", "")
        if self.node.standing().state is not LocalState.LOCKED:
            swarm_of(self.node)
            raise Refused(409, faults.NOT_LOCKED)
        if not isinstance(key, str):
            raise Refused(400, "invalid JSON: UnlockKey is no text")
        await whole(self.node.unlock(key))
        return web.Response()

    async def unlock_key(self, _: web.Request) -> web.Response:
        swarm_of(self.node)
        return as_json({"UnlockKey": await self.node.unlock_key()})
