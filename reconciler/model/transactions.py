"""What one caller asks of the replicated log: Commands that take effect together or not at all."""

from __future__ import annotations

import msgspec

from reconciler.model.changes import TableKind
from reconciler.model.commands import Command


class Expectation(msgspec.Struct, frozen=True):
    """That an object is still of the version that the caller read. Version 0 means that there is no such object.

    `id` of a record is `namespace/key`; the cluster has the id "".
    """

    kind: TableKind
    id: str
    version: int


class Transaction(msgspec.Struct, frozen=True):
    """Commands of one caller, as they are proposed.

    `client` names the caller and differs from that of any other life of the same process; `sequence` counts its
    transactions from 1. The pair makes a repetition harmless: it gives the first Outcome again. `epoch` is the log
    index of the Claim under which the caller leads, None for who needs not lead.
    """

    client: str
    sequence: int
    commands: tuple[Command, ...]
    epoch: int | None = None
    expectations: tuple[Expectation, ...] = ()
