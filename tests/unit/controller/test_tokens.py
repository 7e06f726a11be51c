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
    """A cluster to whose swarm somebody else writes before each of the first `rivals` updates.

    `lost` is raised in place of an answer; before the update is carried out where `reaches` is False.
    """

    def __init__(
        self, cluster: EmbeddedCluster, rivals: int = 0, *, lost: SwarmctlError | None = None, reaches: bool = True
    ) -> None:
        self.cluster, self.rivals, self.rotated = cluster, rivals, 0
        self.lost, self.reaches = lost, reaches

    async def get(self, kind: Kind, object_id: str) -> Any:
        return await self.cluster.get(kind, object_id)

    async def update(self, kind: Kind, object_id: str, version: int, spec: Any, *, rotate: Any) -> None:
        if self.rivals:
            self.rivals -= 1
            swarm = await self.cluster.get(Kind.SWARM, "")
            theirs = {**swarm.spec, "Labels": {**(swarm.spec.get("Labels") or {}), "theirs": str(self.rivals)}}
            await self.cluster.update(Kind.SWARM, swarm.id, swarm.version, theirs)
        if self.lost is None or self.reaches:
            await self.cluster.update(kind, object_id, version, spec, rotate=rotate)
            self.rotated += 1
        if self.lost is not None:
            raise self.lost


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


LOST = (
    SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "No Docker Engine answers.", passing=True),
    SwarmctlError(ErrorCode.REQUEST_REFUSED, "The engine refused the request.", passing=True),
)


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: lost.code.value)
async def test_a_token_that_was_renewed_though_the_answer_was_lost_is_no_failure(lost: SwarmctlError):
    contended = Contended(await a_quiet_swarm(), lost=lost)
    await rotate_join_token(contended, NodeRole.MANAGER, NOON)  # type: ignore[arg-type]
    assert contended.rotated == 1


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: lost.code.value)
async def test_a_token_that_was_not_renewed_is_a_failure(lost: SwarmctlError):
    contended = Contended(await a_quiet_swarm(), lost=lost, reaches=False)
    with pytest.raises(SwarmctlError) as failure:
        await rotate_join_token(contended, NodeRole.MANAGER, NOON)  # type: ignore[arg-type]
    assert failure.value is lost
    assert contended.rotated == 0
