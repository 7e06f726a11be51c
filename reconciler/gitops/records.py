"""The loop's memory as records of the replicated store, and back. Pure.

One record for each thing, so that a pass writes what changed and no more. A record that can't be read, of a later
version of ours, is passed over: the next pass finds out again what it said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from reconciler.gitops.bounded import encoded
from reconciler.gitops.state import DriftIncident, Incident, LoopState, ScopeState, Suspension
from reconciler.model.commands import DeleteRecord, PutRecord
from reconciler.model.sources import SourceStatus
from reconciler.model.tables import KeyValueRecord

NAMESPACE: Final = "gitops"
KEY_CHARS_MAX: Final = 400
"""Characters of a key of ours; the store takes 512. A longer name is cut, and told apart by its hash."""


class RecordChanges(msgspec.Struct, frozen=True):
    """What to write so that the records say the new state: {key: value}, and keys to remove."""

    put: Mapping[str, bytes] = msgspec.field(default_factory=dict)
    delete: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.put and not self.delete

    def commands(self, at: datetime) -> tuple[PutRecord | DeleteRecord, ...]:
        """Return them as commands, stamped `at`."""
        puts = [PutRecord(at=at, namespace=NAMESPACE, key=key, value=value) for key, value in self.put.items()]
        return (*puts, *(DeleteRecord(at=at, namespace=NAMESPACE, key=key) for key in self.delete))


def to_records(state: LoopState) -> dict[str, bytes]:
    """Return {key: value} of all that a state says. The same state gives the same bytes."""
    name = state.source.name
    found: dict[str, Any] = {_key(name, "source"): state.source}
    found |= {_key(name, "scope", scope): _NamedScope(scope, one) for scope, one in state.scopes.items()}
    found |= {_key(name, "drift", object_id): one for object_id, one in state.drifts.items()}
    found |= {_key(name, "incident", key): one for key, one in state.incidents.items()}
    found |= {_key(name, "suspension", scope): one for scope, one in state.suspensions.items()}
    return {key: encoded(one) for key, one in found.items()}


class _NamedScope(msgspec.Struct, frozen=True):
    scope: str
    state: ScopeState


_KINDS: Final[Mapping[str, type]] = {
    "source": SourceStatus,
    "scope": _NamedScope,
    "drift": DriftIncident,
    "incident": Incident,
    "suspension": Suspension,
}


def _prefix(source: str) -> str:
    return f"{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}/"


def _key(source: str, kind: str, name: str = "") -> str:
    key = f"{_prefix(source)}{kind}/{name}"
    if len(key) <= KEY_CHARS_MAX:
        return key
    return f"{key[: KEY_CHARS_MAX - 17]}~{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def from_records(source: str, records: Iterable[KeyValueRecord]) -> LoopState:
    """Return the state of one source that the records of our namespace say; an empty one where they say nothing."""
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for record in records:
        if record.namespace != NAMESPACE or not record.key.startswith(_prefix(source)):
            continue
        kind = record.key.removeprefix(_prefix(source)).partition("/")[0]
        if kind in _KINDS and (value := _decoded(record.value, _KINDS[kind])) is not None:
            found[kind].append(value)
    status: SourceStatus = next(iter(found["source"]), SourceStatus(source))
    return LoopState(
        source=status,
        scopes={one.scope: one.state for one in found["scope"]},
        drifts={one.object_id: one for one in found["drift"]},
        incidents={one.key: one for one in found["incident"]},
        suspensions={one.scope: one for one in found["suspension"]},
    )


def _decoded(value: bytes, kind: type) -> Any:
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def changes(before: LoopState, after: LoopState) -> RecordChanges:
    """Return what to write when the state goes from `before` to `after`; nothing where they are equal."""
    if before == after:
        return RecordChanges()
    old, new = to_records(before), to_records(after)
    put = {key: value for key, value in new.items() if old.get(key) != value}
    return RecordChanges(put, tuple(key for key in old if key not in new))
