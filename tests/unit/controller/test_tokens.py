"""A join token that is renewed on demand is stamped in the same write, over whatever others write meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.controller.tokens import rotate_join_token
from reconciler.controller.write import STALE_RETRIES_MAX
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, NodeRole
from tests.fakes.quiet_swarm import a_quiet_swarm

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
STAMP = "io.swarmctl.token-rotated.manager"


class Contended:
    """A cluster to whose swarm somebody else writes before each of the first `rivals` updates."""

    def __init__(self, cluster: EmbeddedCluster, rivals: int) -> None:
        self.cluster, self.rivals, self.rotated = cluster, rivals, 0

    async def get(self, kind: Kind, object_id: str) -> Any:
        return await self.cluster.get(kind, object_id)

    async def update(self, kind: Kind, object_id: str, version: int, spec: Any, *, rotate: Any) -> None:
        if self.rivals:
            self.rivals -= 1
            swarm = await self.cluster.get(Kind.SWARM, "")
            theirs = {**swarm.spec, "Labels": {**(swarm.spec.get("Labels") or {}), "theirs": str(self.rivals)}}
            await self.cluster.update(Kind.SWARM, swarm.id, swarm.version, theirs)
        await self.cluster.update(kind, object_id, version, spec, rotate=rotate)
        self.rotated += 1


async def test_the_stamp_is_written_over_what_others_have_written():
    contended = Contended(await a_quiet_swarm(), rivals=3)
    await rotate_join_token(contended, NodeRole.MANAGER, NOON)  # type: ignore[arg-type]
    swarm = await contended.get(Kind.SWARM, "")
    assert swarm.labels == {"theirs": "0", STAMP: "2030-01-01T12:00:00Z"}
    assert contended.rotated == 1


async def test_it_gives_up_when_somebody_else_is_always_faster():
    contended = Contended(await a_quiet_swarm(), rivals=STALE_RETRIES_MAX + 1)
    with pytest.raises(SwarmctlError) as failure:
        await rotate_join_token(contended, NodeRole.MANAGER, NOON)  # type: ignore[arg-type]
    assert failure.value.code is ErrorCode.STALE_VERSION
    assert contended.rotated == 0
