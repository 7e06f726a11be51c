"""The node that answers for a swarm in one process: it is whoever leads, and has the swarm's settings and root."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.assembly.swarm import EmbeddedSwarmHandle
from reconciler.model.errors import SwarmctlError
from reconciler.model.objects import Kind, NodeRole


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[EmbeddedSwarmHandle]:
    async with await start_embedded_swarm(EmbeddedSettings(str(tmp_path), nodes=2)) as started:
        yield started


async def nodes(swarm: EmbeddedSwarmHandle) -> dict[str, Any]:
    return {node.name: node for node in await swarm.cluster.listed(Kind.NODE)}


async def give_role(swarm: EmbeddedSwarmHandle, name: str, role: NodeRole) -> None:
    node = (await nodes(swarm))[name]
    await swarm.cluster.update(Kind.NODE, node.id, node.version, {**node.spec, "Role": str(role)})


async def update(swarm: EmbeddedSwarmHandle, **authority: Any) -> None:
    found = await swarm.cluster.found(Kind.SWARM, "")
    await swarm.node.update_swarm(found.version, {**found.spec, "CAConfig": authority})


async def test_whoever_leads_answers(swarm: EmbeddedSwarmHandle) -> None:
    first, second = (await nodes(swarm)).values()
    assert swarm.node.standing().node_id == first.id
    await give_role(swarm, "node2", NodeRole.MANAGER)
    assert set(swarm.node.standing().remote_managers) == {first.id, second.id}
    await give_role(swarm, "node1", NodeRole.WORKER)
    await swarm.cluster.remove(Kind.NODE, first.id, force=True)
    assert swarm.node.standing().node_id == second.id
    assert set(swarm.node.standing().remote_managers) == {second.id}
    assert swarm.node.description()["Hostname"] == "node2"


async def test_every_node_trusts_the_root_also_a_new_one(swarm: EmbeddedSwarmHandle) -> None:
    first = swarm.node.standing().tls_info
    assert first["TrustRoot"].startswith("-----BEGIN CERTIFICATE-----")
    await update(swarm, ForceRotate=1)
    second = swarm.node.standing().tls_info
    assert second != first
    assert [node.raw["Description"]["TLSInfo"] for node in (await nodes(swarm)).values()] == [second] * 2


async def test_a_root_that_nobody_signs_for_is_refused(swarm: EmbeddedSwarmHandle) -> None:
    before = swarm.node.standing()
    with pytest.raises(SwarmctlError) as refused:
        await update(swarm, SigningCACert=before.tls_info["TrustRoot"])
    assert "there must be at least one valid, reachable external CA" in refused.value.problems[0].why
    assert swarm.node.standing() == before
    assert await swarm.node.unlock_key() == ""
