"""Entries that are no entries, or hold what no command is: refusals, the same wherever they are applied."""

from __future__ import annotations

import sys
from datetime import timedelta, timezone
from typing import Any

import msgspec
import pytest

from reconciler.model.commands import (
    AddNode,
    Applied,
    CreateSecret,
    Outcome,
    Rejected,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.transactions import Transaction
from reconciler.store import machine
from reconciler.store.apply import MESSAGE_LENGTH_MAX
from reconciler.store.codec import NESTING_MAX, encode_entry, encode_transaction
from reconciler.store.machine import State
from tests.unit.store.replica import NOW, Replica, put

# --- entries that are wrong


def wrong_entries() -> list[bytes]:
    encode = msgspec.msgpack.encode
    whole = encode_entry([encode_transaction(Transaction("c", 1, (put("a"),)))])
    return [
        b"",
        b"\xc1",
        b"\x00" * 50,
        b"\xff" * 50,
        whole[:-1],
        whole + b"\0",
        encode([1]),
        encode([1, None]),
        encode([1, [], "more"]),
        encode([1, [["no", "binary"]]]),
        encode({"format": 1}),
        encode([0, []]),
        encode([2, [b""]]),
        encode([10**12, []]),
        b"\x92\x01\xdd\xff\xff\xff\xff",
        b"\x91" * 200_000,
        b"\x92\x02" + b"\x91" * 500,
        b"\x93\x01\x90" + b"\x91" * 500,
    ]


@pytest.mark.parametrize("entry", wrong_entries(), ids=range(len(wrong_entries())))
def test_what_is_no_entry_is_one_refusal(replica: Replica, entry: bytes) -> None:
    replica.do(put("a"))
    refusal = replica.refused_bytes(entry)
    assert (refusal.code, replica.state.index) == (ErrorCode.ENTRY_INVALID, 2)


def test_a_newer_format_is_named(replica: Replica) -> None:
    refusal = replica.refused_bytes(msgspec.msgpack.encode([2, []]))
    assert refusal.message == "invalid entry: it has format 2, and this version knows format 1"


def row(
    command: str, fields: Any, *, client: Any = "c", sequence: Any = 1, epoch: Any = None, expects: Any = ()
) -> bytes:
    encode = msgspec.msgpack.encode
    return encode([1, [encode([client, sequence, epoch, expects, [[command, fields]]])]])


RECORD = {"at": NOW, "namespace": "history", "key": "a", "value": b"x"}
NODE = {"at": NOW, "id": "n", "description": {}, "address": ""}


@pytest.mark.parametrize(
    "entry",
    [
        row("put-record", RECORD | {"key": 5}),
        row("put-record", RECORD | {"at": "2030-01-01T00:00:00"}),
        row("put-record", RECORD | {"at": NOW.astimezone(timezone(timedelta(hours=2))).isoformat()}),
        row("put-record", RECORD | {"at": None}),
        row("put-record", []),
        row("launch-missiles", {}),
        row("x" * 1000, {}),
        row("put-record", RECORD, client=""),
        row("put-record", RECORD, client="c" * 129),
        row("put-record", RECORD, sequence=0),
        row("put-record", RECORD, sequence=2**63),
        row("put-record", RECORD, sequence=1.5),
        row("put-record", RECORD, epoch=-1),
        row("put-record", RECORD, expects=[["moon", "x", 1]]),
        row("put-record", RECORD, expects=[["record", "x"]]),
        row("add-node", NODE | {"spec": {"Role": float("nan")}}),
        row("add-node", NODE | {"spec": {"Role": float("inf")}}),
        row("add-node", NODE | {"spec": {"Role": b"worker"}}),
        row("add-node", NODE | {"spec": {"a": {1: "one"}}}),
        row("add-node", NODE | {"spec": {"a": [NOW]}}),
        row("add-node", NODE | {"spec": {"a": msgspec.msgpack.Ext(5, b"x")}}),
    ],
)
def test_a_command_of_a_wrong_shape_is_refused(replica: Replica, entry: bytes) -> None:
    assert replica.refused_bytes(entry).code is ErrorCode.ENTRY_INVALID


def nested(levels: int) -> bytes:
    """Return an AddNode whose spec is `levels` deep; the transaction around it adds four."""
    spec: Any = {"Role": "worker", "Availability": "active"}
    value: Any = 1
    for _ in range(levels - 1):
        value = [value]
    return row("add-node", NODE | {"spec": spec | {"x": value}})


def test_nesting_ends_at_the_limit_and_not_where_the_stack_does(replica: Replica) -> None:
    def at_depth(frames: int, entry: bytes) -> Outcome:
        if frames:
            return at_depth(frames - 1, entry)
        state = State()
        return machine.apply(state, 1, entry).outcomes[0]

    free = sys.getrecursionlimit() - len(__import__("inspect").stack()) - 150
    for levels in (NESTING_MAX - 4, NESTING_MAX - 3, 300, free, 900):
        shallow, deep = at_depth(0, nested(levels)), at_depth(free, nested(levels))
        assert shallow == deep
        assert isinstance(shallow, Applied) == (levels <= NESTING_MAX - 4), levels
    # what is skipped because nobody knows it counts as well
    skipped = row("put-record", RECORD | {"unknown": msgspec.Raw(b"\x91" * 100 + b"\x01")})
    assert at_depth(0, skipped) == at_depth(free, skipped)
    assert isinstance(at_depth(0, skipped), Rejected)


def test_no_refusal_holds_a_secret(replica: Replica) -> None:
    hidden = "hunter2"
    for spec in (
        {"Name": "s", "Data": hidden},
        {"Name": "s", "Data": [hidden]},
        {"Name": "", "Data": hidden},
        {"Name": [hidden], "Data": hidden},
        {"Name": "s", "Data": {hidden: float("nan")}},
    ):
        refusal = replica.refused(CreateSecret(at=NOW, id="s1", spec=spec))
        assert hidden not in repr(refusal)
    replica.do(CreateSecret(at=NOW, id="s1", spec={"Name": "s", "Data": "aHVudGVyMg=="}))
    replica.do(put("a", b"hunter2"))
    assert "aHVudGVyMg" not in repr(replica.state)
    assert hidden not in repr(replica.state)


def test_a_refusal_does_not_grow_with_what_it_refuses(replica: Replica) -> None:
    spec = {"Role": "r" * 100_000, "Availability": "active"}
    refusal = replica.refused(AddNode(at=NOW, id="n", spec=spec, description={}, address=""))
    assert len(refusal.message) <= MESSAGE_LENGTH_MAX
