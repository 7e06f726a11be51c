"""The replicated state machine: what every manager runs on every entry of the log, with the same result.

Nothing here depends on anything but the state and the entry: no clock, no chance, no set order, no order of a dict but
that of the log. A transaction takes effect as a whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from reconciler.model.changes import Change, EntryOutcome, TableKind
from reconciler.model.commands import Applied, ObjectChange, Outcome, Rejected
from reconciler.model.errors import ErrorCode
from reconciler.model.tables import Tables
from reconciler.store.apply import carry_out, commit
from reconciler.store.codec import ExpectationRow, TransactionRow, decode_command, decode_entry, decode_transaction
from reconciler.store.draft import DirectRecords, Draft
from reconciler.store.refusal import Refusal, out_of_sequence
from reconciler.store.sessions import Sessions

_WRITE_ONE_RECORD = frozenset(("put-record", "delete-record"))


@dataclass(slots=True)
class State:
    """All that is replicated. Only `apply` and `pass_over` change it."""

    tables: Tables = field(default_factory=Tables)
    sessions: Sessions = field(default_factory=Sessions, repr=False)

    @property
    def index(self) -> int:
        """The log index up to which everything is in here."""
        return self.tables.index

    @property
    def epoch(self) -> int:
        """The log index of the Claim that counts, 0 before the first."""
        return self.tables.leadership.epoch


def apply(state: State, index: int, entry: bytes) -> EntryOutcome:
    """Apply the log entry at `index`, in place, and return what came of each of its transactions.

    `index` grows from entry to entry, with gaps for what is no entry of this machine. An entry that the state holds
    already, as a log may have after a snapshot, is left out.

    Never raises for anything that an entry holds: garbage, unknown commands and wrong shapes are refusals, the same on
    every manager, and change nothing but `state.index`. MemoryError and RecursionError mean that this machine, or the
    caller's stack (100 frames must be left), is at its end: then this manager must stop, since others go on.
    """
    if index <= state.index:
        return EntryOutcome(index, (Rejected(ErrorCode.ENTRY_INVALID, "this entry was applied before"),))
    state.tables.index = index
    try:
        encoded = decode_entry(entry)
    except Refusal as refusal:
        return EntryOutcome(index, (_rejected(refusal),))
    outcomes: list[Outcome] = []
    changes: list[Change] = []
    events: list[ObjectChange] = []
    draft, direct = Draft(state.tables), DirectRecords(state.tables, changes)
    for one in encoded:
        outcome = _transact(state, (draft, direct), one, changes, events)
        outcomes.append(outcome)
        if isinstance(outcome, Rejected):
            draft = Draft(state.tables)  # it may have half written the one before
    return EntryOutcome(index, tuple(outcomes), tuple(changes), tuple(events))


def pass_over(state: State, index: int) -> None:
    """Note that the log went on to `index` with what is no entry of this machine (a new term, a change of members)."""
    state.tables.index = max(state.tables.index, index)


def _rejected(refusal: Refusal, position: int | None = None) -> Rejected:
    return Rejected(refusal.code, refusal.message, position)


def _transact(
    state: State,
    drafts: tuple[Draft, DirectRecords],
    encoded: bytes,
    changes: list[Change],
    events: list[ObjectChange],
) -> Outcome:
    """Return the outcome; add what changed, which is nothing for what was refused or seen before."""
    try:
        row = decode_transaction(encoded)
    except Refusal as refusal:
        return _rejected(refusal)
    draft, direct = drafts
    client, sequence, index, sessions = row.client, row.sequence, draft.index, state.sessions
    if (known := sessions.recall(client, sequence, index)) is not None:
        return known
    outcome = _unmet(draft, row) if row.epoch is not None or row.expectations else None
    if outcome is None:
        listed = row.commands
        if len(listed) == 1 and listed[0][0] in _WRITE_ONE_RECORD:
            outcome = _carry_out_all(direct, listed)
        else:
            outcome = _carry_out_all(draft, listed)
            if isinstance(outcome, Applied):
                commit(draft, changes)
                events += outcome.changes
    sessions.remember(client, sequence, index, outcome)
    return outcome


def _unmet(draft: Draft, row: TransactionRow) -> Outcome | None:
    """Return why a transaction may not be carried out."""
    epoch = draft.leadership.epoch
    if row.epoch is not None and row.epoch != epoch:
        text = f"epoch {row.epoch} is over: epoch {epoch} was claimed by {draft.leadership.leader or 'nobody'}"
        return Rejected(ErrorCode.FENCED, text[:1024])
    for expectation in row.expectations:
        if _version(draft, expectation) != expectation.version:
            return _rejected(out_of_sequence())
    return None


def _carry_out_all(draft: Draft | DirectRecords, listed: list[tuple[str, Raw]]) -> Outcome:
    outcome: Outcome | None = None
    events: tuple[ObjectChange, ...] = ()
    for position, (name, encoded) in enumerate(listed):
        try:
            outcome = carry_out(draft, decode_command(name, encoded))
        except Refusal as refusal:
            return _rejected(refusal, position)
        if isinstance(outcome, Rejected):
            return Rejected(outcome.code, outcome.message, position)
        if outcome.changes:
            events += outcome.changes
    return outcome if outcome is not None and len(listed) == 1 else Applied(draft.index, "", events)


def _version(draft: Draft, expectation: ExpectationRow) -> int:
    """Return the version of an object, 0 when there is none."""
    record: Any
    if expectation.kind is TableKind.CLUSTER:
        record = draft.cluster
    elif expectation.kind is TableKind.LEADERSHIP:
        return draft.leadership.epoch
    else:
        record = getattr(draft, f"{expectation.kind}s").get(expectation.id)
    return record.version if record is not None else 0
