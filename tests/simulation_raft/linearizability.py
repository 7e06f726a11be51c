"""Whether a history of one register is linearizable.

The algorithm is Wing and Gong's search (1993) with Lowe's memory of visited states (2017), as in Porcupine: choose an
operation that may come first, apply it, go on with the rest; never look twice at the same set of operations done with
the same value. Registers are checked one by one: linearizability is local (Herlihy and Wing 1990).
"""

from __future__ import annotations

from dataclasses import dataclass

NEVER = float("inf")


@dataclass(slots=True)
class Operation:
    """One client's read or write; `end` is NEVER when nobody knows whether a write took place."""

    start: float
    end: float
    is_write: bool
    value: object


def is_linearizable(operations: list[Operation], initial: object = None) -> bool:
    """Whether some order explains all answers. What didn't overlap keeps its order; unknown writes may be left out."""
    history = sorted(operations, key=lambda operation: operation.start)
    certain = sum(1 << place for place, operation in enumerate(history) if operation.end != NEVER)
    seen: set[tuple[int, object]] = set()
    stack: list[tuple[int, object]] = [(0, initial)]
    while stack:
        done, value = stack.pop()
        if done & certain == certain:
            return True
        if (done, value) in seen:
            continue
        seen.add((done, value))
        for place in _may_come_first(history, done):
            operation = history[place]
            if operation.is_write or operation.value == value:
                stack.append((done | 1 << place, operation.value))
    return False


def _may_come_first(history: list[Operation], done: int) -> list[int]:
    """Places of the operations not done that started before any other such one ended."""
    places = []
    horizon = NEVER
    for place, operation in enumerate(history):
        if operation.start > horizon:
            break
        if not done >> place & 1:
            places.append(place)
            horizon = min(horizon, operation.end)
    return places
