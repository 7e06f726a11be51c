"""The embedded swarm's real tables behind the real Cluster port, with a manager whose loop does not run.

Everything is stored, validated and filled in as always; no task is ever made. For tests of what is written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from reconciler.adapters.clock import RandomIds, SystemClock
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manager.embedded_swarm import EmbeddedSwarm, SwarmParts
from reconciler.model.commands import AddNode, Applied, InitCluster
from reconciler.model.tables import JoinTokens
from tests.fakes.memory_store import MemoryStore

NODES = ("n1", "n2", "n3")


async def a_quiet_swarm() -> EmbeddedCluster:
    """Three nodes whose manager's loop does not run."""

    def no_agent(node_id: str, report: object) -> Any:
        raise AssertionError("the loop does not run")

    parts = SwarmParts(SystemClock(), RandomIds(), ingress=None, new_agent=no_agent)  # type: ignore[arg-type]
    swarm = EmbeddedSwarm(MemoryStore(), parts)
    now, ids = datetime.now(UTC), RandomIds()
    tokens = JoinTokens(worker=ids.new_join_token(), manager=ids.new_join_token())
    three = (ids.new_id(), ids.new_id(), ids.new_id())
    commands: list[Any] = [InitCluster(at=now, id=ids.new_id(), spec={}, join_tokens=tokens, network_ids=three)]
    for number, name in enumerate(NODES):
        spec: dict[str, Any] = {"Labels": {}, "Role": "worker" if number else "manager", "Availability": "active"}
        commands.append(
            AddNode(at=now, id=ids.new_id(), spec=spec, description={"Hostname": name}, address="127.0.0.1")
        )
    for command in commands:
        assert isinstance(await swarm.propose(command), Applied)
    return EmbeddedCluster(swarm, "quiet")
