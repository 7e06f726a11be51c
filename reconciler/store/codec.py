"""Entries of the log as bytes: what a caller's Transaction looks like on the wire and on disk.

An entry is the msgpack array [format, [transaction, ...]]. Each transaction is a binary of its own, so that a spoilt
one can't spoil those of other callers that share the entry:

    [client, sequence, epoch or nil, [[kind, id, version], ...], [[command name, fields], ...]]

Everything that is read is checked before it is used, and what is wrong is a Refusal whose text is ours: a library's
differs between versions, and may quote a secret.

Names of commands and formats are for ever: a log may be older than the program, and members may run different versions.
A member refuses what it does not know, so that nothing of a newer format may be proposed until all members know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from operator import attrgetter
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from reconciler.model import commands
from reconciler.model.changes import TableKind
from reconciler.model.commands import Command
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.transactions import Transaction
from reconciler.store.nesting import NOT_CONTAINERS, is_nested_beyond
from reconciler.store.refusal import Refusal

ENTRY_FORMAT = 1

TRANSACTIONS_MAX = 10_000
"""Transactions of one entry."""

COMMANDS_MAX = 10_000
"""Commands of one transaction."""

NESTING_MAX = 64
"""Levels of objects and lists in a transaction; a spec begins at the fifth. Far below what a stack holds, wherever
`apply` is called from: a limit that depended on the stack would be met by one manager and not by another."""

COMMAND_NAMES: Mapping[str, type[Command]] = MappingProxyType(
    {
        "init-cluster": commands.InitCluster,
        "update-cluster": commands.UpdateCluster,
        "rotate-join-token": commands.RotateJoinToken,
        "add-node": commands.AddNode,
        "update-node": commands.UpdateNode,
        "set-node-state": commands.SetNodeState,
        "describe-node": commands.DescribeNode,
        "remove-node": commands.RemoveNode,
        "create-network": commands.CreateNetwork,
        "remove-network": commands.RemoveNetwork,
        "create-secret": commands.CreateSecret,
        "update-secret": commands.UpdateSecret,
        "remove-secret": commands.RemoveSecret,
        "create-config": commands.CreateConfig,
        "update-config": commands.UpdateConfig,
        "remove-config": commands.RemoveConfig,
        "create-service": commands.CreateService,
        "update-service": commands.UpdateService,
        "roll-back-service": commands.RollBackService,
        "set-update-status": commands.SetUpdateStatus,
        "remove-service": commands.RemoveService,
        "create-task": commands.CreateTask,
        "create-tasks": commands.CreateTasks,
        "allocate-tasks": commands.AllocateTasks,
        "assign-task": commands.AssignTask,
        "assign-tasks": commands.AssignTasks,
        "explain-task": commands.ExplainTask,
        "explain-tasks": commands.ExplainTasks,
        "set-desired-state": commands.SetDesiredState,
        "set-desired-states": commands.SetDesiredStates,
        "report-task": commands.ReportTask,
        "remove-task": commands.RemoveTask,
        "remove-tasks": commands.RemoveTasks,
        "put-record": commands.PutRecord,
        "delete-record": commands.DeleteRecord,
        "claim": commands.Claim,
    }
)

_Client = Annotated[str, Meta(min_length=1, max_length=128)]
_Sequence = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
_Index = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class ExpectationRow(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    kind: TableKind
    id: str
    version: _Index


class TransactionRow(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """A Transaction whose commands, each with its name, are still encoded."""

    client: _Client
    sequence: _Sequence
    epoch: _Index | None
    expectations: list[ExpectationRow]
    commands: Annotated[list[tuple[str, Raw]], Meta(max_length=COMMANDS_MAX)]


class _Entry(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    format: Annotated[int, Meta(ge=ENTRY_FORMAT, le=ENTRY_FORMAT)]
    transactions: Annotated[list[bytes], Meta(max_length=TRANSACTIONS_MAX)]


_ENCODER = msgspec.msgpack.Encoder()
_ENTRY_DECODER = msgspec.msgpack.Decoder(_Entry)
_TRANSACTION_DECODER = msgspec.msgpack.Decoder(TransactionRow)
_NAMES = {kind: name for name, kind in COMMAND_NAMES.items()}
_SPEC_FIELDS = {
    kind: tuple(name for name in kind.__struct_fields__ if name in ("spec", "description"))
    for kind in COMMAND_NAMES.values()
}
_TIMES: Mapping[type[Command], Callable[[Any], datetime | None]] = MappingProxyType(
    {
        commands.ReportTask: attrgetter("status.timestamp"),
        commands.CreateTask: attrgetter("start_after"),
    }
)
"""The instant that a command has beside that of its proposal."""
_READERS: dict[str, tuple[Callable[[Raw], Command], tuple[str, ...], Callable[[Any], datetime | None] | None]] = {
    name: (msgspec.msgpack.Decoder(kind).decode, _SPEC_FIELDS[kind], _TIMES.get(kind))
    for name, kind in COMMAND_NAMES.items()
}
"""How a command is read: its decoder, the fields that hold any JSON, and its other instant."""

_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, OverflowError)


def encode_transaction(transaction: Transaction) -> bytes:
    """Return the bytes of one transaction. Raises SwarmctlError for what can't be written, as a huge number."""
    expectations = transaction.expectations
    row = (
        transaction.client,
        transaction.sequence,
        transaction.epoch,
        [(one.kind, one.id, one.version) for one in expectations] if expectations else (),
        [(_NAMES[type(command)], command) for command in transaction.commands],
    )
    try:
        return _ENCODER.encode(row)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SwarmctlError(
            ErrorCode.REQUEST_REFUSED,
            f"invalid JSON: a value can't be stored ({type(error).__name__})",
            why="A number has more than 64 bits, a text is no Unicode, or objects are nested too deep.",
            hint="Send what the Engine API describes.",
        ) from None


def encode_entry(transactions: Sequence[bytes]) -> bytes:
    """Return one entry of what `encode_transaction` gave, for one or many callers."""
    return _ENCODER.encode((ENTRY_FORMAT, transactions))


def decode_entry(entry: bytes) -> list[bytes]:
    """Return an entry's transactions, each still encoded. Raises Refusal, and nothing else."""
    try:
        return _ENTRY_DECODER.decode(entry).transactions
    except _UNREADABLE:
        raise unreadable(_why_unreadable(entry)) from None


def unreadable(what: str) -> Refusal:
    return Refusal(ErrorCode.ENTRY_INVALID, f"invalid entry: {what}", rpc="")


def _why_unreadable(entry: bytes) -> str:
    """Return what is wrong, from the first two bytes alone: an array of two, and a small number that is the format."""
    if not isinstance(entry, bytes) or len(entry) < 2 or entry[0] != 0x92 or entry[1] > 0x7F:
        return "it is no entry of any format"
    if entry[1] != ENTRY_FORMAT:
        return f"it has format {entry[1]}, and this version knows format {ENTRY_FORMAT}"
    return "it is not of the shape of its format"


def decode_transaction(encoded: bytes) -> TransactionRow:
    """Return one transaction, its commands still encoded. Raises Refusal, and nothing else."""
    if len(encoded.translate(None, NOT_CONTAINERS)) > NESTING_MAX and is_nested_beyond(encoded, NESTING_MAX):
        raise unreadable(f"a transaction is nested more than {NESTING_MAX} deep")
    try:
        return _TRANSACTION_DECODER.decode(encoded)
    except _UNREADABLE:
        raise unreadable("a transaction is not of the shape of its format") from None


def decode_command(name: str, encoded: Raw) -> Command:
    """Return one command of a decoded transaction. Raises Refusal, and nothing else."""
    reader = _READERS.get(name)
    if reader is None:
        raise unreadable(f"there is no command {name[:64]!a}")
    decode, spec_fields, instant = reader
    try:
        command = decode(encoded)
    except _UNREADABLE:
        raise unreadable(f"the fields of {name} are not of its shape") from None
    for spec_field in spec_fields:
        _check_json(getattr(command, spec_field))
    if command.at.tzinfo is not UTC or (instant is not None and not _is_in_utc(instant(command))):
        raise unreadable("a time is not in UTC")  # Python would not compare it with others
    return command


def _is_in_utc(time: datetime | None) -> bool:
    return time is None or time.tzinfo is UTC


def _check_json(value: Any) -> None:
    """Refuse what msgpack can say and JSON can't. A NaN equals nothing, not even itself after a snapshot."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if not all(isinstance(key, str) for key in one):
                raise unreadable("a spec has a key that is no text")
            pending.extend(one.values())
        elif isinstance(one, list):
            pending.extend(one)
        elif isinstance(one, float):
            if not isfinite(one):
                raise unreadable("a spec has a number that JSON does not know")
        elif one is not None and not isinstance(one, str | int):
            raise unreadable("a spec has a value that JSON does not know")
