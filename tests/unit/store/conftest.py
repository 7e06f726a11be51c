"""A swarm's tables with one node, and small words for commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from reconciler.model.commands import AddNode, Applied, Command, InitCluster, Outcome, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import JoinTokens, Tables
from reconciler.store.apply import apply
from tests.unit.store.replica import Replica

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Store:
    tables: Tables = field(default_factory=Tables)

    def try_(self, command: Command) -> Outcome:
        return apply(self.tables, command)

    def do(self, command: Command) -> str:
        outcome = apply(self.tables, command)
        assert isinstance(outcome, Applied), outcome
        return outcome.id

    def refuse(self, command: Command) -> tuple[ErrorCode, str]:
        """Return code and message of a command that must be refused, and must change nothing but the index."""
        before = repr(self.tables).replace(f"index={self.tables.index}", "", 1)
        outcome = apply(self.tables, command)
        assert isinstance(outcome, Rejected), outcome
        assert repr(self.tables).replace(f"index={self.tables.index}", "", 1) == before
        return outcome.code, outcome.message


@pytest.fixture
def store() -> Store:
    made = Store()
    made.do(InitCluster(at=NOW, id="c", spec={}, join_tokens=JoinTokens("w", "m"), network_ids=("in", "br", "ho")))
    spec = {"Role": "manager", "Availability": "active"}
    made.do(AddNode(at=NOW, id="n1", spec=spec, description={"Hostname": "node1"}, address="10.0.0.1"))
    return made


@pytest.fixture
def replica() -> Replica:
    return Replica()
