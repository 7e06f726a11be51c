"""Whether the histories that clients kept are linearizable, register by register."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from tests.simulation_raft.linearizability import NEVER, Operation, is_linearizable


def operations(folder: Path) -> dict[str, list[Operation]]:
    """All clients' operations by register. A read without an answer says nothing, a write without one may count."""
    found: dict[str, list[Operation]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        open_calls: dict[int, tuple[str, Operation]] = {}
        for line in path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # cut short when the process was killed
            kind, number, at, *rest = json.loads(line)
            if kind == "begin":
                register, value = rest
                open_calls[number] = (register, Operation(at, NEVER, value is not None, value))
                continue
            register, operation = open_calls.pop(number)
            operation.end = at
            if not operation.is_write:
                operation.value = rest[0]
            found[register].append(operation)
        for register, operation in open_calls.values():
            if operation.is_write:
                found[register].append(operation)
    return found


def not_linearizable(folder: Path) -> tuple[int, list[str]]:
    """How many operations there were, and the registers whose history nothing explains."""
    by_register = operations(folder)
    wrong = [register for register, history in sorted(by_register.items()) if not is_linearizable(history)]
    return sum(map(len, by_register.values())), wrong
