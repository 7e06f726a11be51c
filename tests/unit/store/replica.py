"""One manager's state, and small words for entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reconciler.model.changes import EntryOutcome
from reconciler.model.commands import Applied, Command, CreateConfig, PutRecord, Rejected
from reconciler.model.transactions import Transaction
from reconciler.store import machine
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def put(key: str, value: bytes = b"x", version: int | None = None) -> PutRecord:
    return PutRecord(at=NOW, namespace="history", key=key, value=value, version=version)


def config(config_id: str, name: str | None = None) -> CreateConfig:
    return CreateConfig(at=NOW, id=config_id, spec={"Name": name or config_id, "Data": "eA=="})


@dataclass
class Replica:
    state: State = field(default_factory=State)
    sequence: int = 0

    def transaction(self, *commands: Command, **fields: Any) -> bytes:
        self.sequence += 1
        return encode_transaction(Transaction("caller", self.sequence, commands, **fields))

    def apply(self, *transactions: bytes) -> EntryOutcome:
        return self.apply_bytes(encode_entry(transactions))

    def apply_bytes(self, entry: bytes) -> EntryOutcome:
        return machine.apply(self.state, self.state.index + 1, entry)

    def do(self, *commands: Command, **fields: Any) -> Applied:
        outcome = self.apply(self.transaction(*commands, **fields)).outcomes[0]
        assert isinstance(outcome, Applied), outcome
        return outcome

    def refused(self, *commands: Command, **fields: Any) -> Rejected:
        """Return the refusal of one transaction, which must have changed nothing but the index."""
        return self.refused_bytes(encode_entry([self.transaction(*commands, **fields)]))

    def refused_bytes(self, entry: bytes) -> Rejected:
        before = self.content()
        result = self.apply_bytes(entry)
        assert self.content() == before
        assert (result.changes, result.events) == ((), ())
        (outcome,) = result.outcomes
        assert isinstance(outcome, Rejected), outcome
        return outcome

    def content(self) -> Any:
        tables = self.state.tables
        names = ("cluster", "nodes", "networks", "secrets", "configs", "services", "tasks", "records", "leadership")
        return (
            {name: getattr(tables, name) for name in names}
            | {"order": [list(tables.tasks), list(tables.configs)]}
            | {"indexes": repr(tables.indexes)}
        )
