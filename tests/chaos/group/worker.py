"""What goes on inside a member while things are done to it: writers, and readers and writers whose history is kept."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TextIO

from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.model.commands import Applied, PutRecord
from reconciler.model.errors import SwarmctlError
from tests.chaos.group.ledger import NAMESPACE, Ledger, key_of, value_of

REGISTERS = "registers"
"""The namespace of what the history is about."""

PAUSE_AFTER_REFUSAL_S = 0.02

WINDOW_S = 5.0
"""How long a register is in use: the search for an explanation takes longer than a history does."""


async def write_on(store: ReplicatedStore, worker: str, ledgers: Path, size: int) -> None:
    """Write one number after the other until cancelled; what is refused or unknown is left behind."""
    ledger, number = Ledger(ledgers, worker), 0
    try:
        while True:
            number += 1
            ledger.trying(number)
            command = PutRecord(
                at=datetime.now(UTC),
                namespace=NAMESPACE,
                key=key_of(worker, number),
                value=value_of(worker, number, size),
            )
            try:
                outcome = await store.propose([command])
            except SwarmctlError:
                await asyncio.sleep(PAUSE_AFTER_REFUSAL_S)
                continue
            if isinstance(outcome, Applied):
                ledger.acknowledged(number)
    finally:
        ledger.close()


class History:
    """Calls and answers of one client, a JSON line each, with the machine's monotonic clock (the same for all)."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("x", buffering=1)

    def begin(self, number: int, register: str, value: str | None) -> None:
        """`value` is what is to be written, None for a read."""
        self._file.write(json.dumps(["begin", number, time.monotonic(), register, value]) + "\n")

    def end(self, number: int, seen: str | None) -> None:
        """`seen` is what a read saw."""
        self._file.write(json.dumps(["end", number, time.monotonic(), seen]) + "\n")


async def use_registers(store: ReplicatedStore, client: str, folder: Path, registers: int, pause_s: float) -> None:
    """Read and write registers that all clients share, until cancelled."""
    history, chance, number = History(folder / client), Random(client), 0
    while True:
        number += 1
        register = f"{int(time.monotonic() / WINDOW_S)}-{chance.randrange(registers)}"
        value = f"{client}.{number}" if chance.random() < 0.5 else None
        history.begin(number, register, value)
        try:
            if value is None:
                await store.read_barrier()
                record = store.tables.records.get(f"{REGISTERS}/{register}")
                history.end(number, record.value.decode() if record else None)
            else:
                command = PutRecord(at=datetime.now(UTC), namespace=REGISTERS, key=register, value=value.encode())
                await store.propose([command])
                history.end(number, None)
        except SwarmctlError:
            pass  # nobody knows whether it took place
        await asyncio.sleep(pause_s * chance.random())
