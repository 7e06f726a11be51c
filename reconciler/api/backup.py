"""Backups of a node's swarm: no part of the Engine API, and asked for on the node's own unix socket only."""

from __future__ import annotations

import msgspec
from aiohttp import web

from reconciler.api.ports import LocalNode
from reconciler.http_backup import give

PATH = "/swarmctl/backup"


class Backups(msgspec.Struct, frozen=True):
    """The handler. What it gives away has the swarm's secrets in it, unless the swarm locks its managers."""

    node: LocalNode

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.backup, allow_head=False)]

    async def backup(self, request: web.Request) -> web.StreamResponse:
        async with self.node.backup() as found:
            return await give(request, found)
