"""Whatever a peer sends is a message of the known shapes, or refused as none: nothing of it is run or raised."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest

from reconciler.adapters.raft.frames import Forward, NotTaken
from reconciler.adapters.raft_pysyncobj.messages import decode, encode, encode_shared
from reconciler.consensus.values import Membership, Removed, SnapshotMeta

MESSAGES: tuple[dict[str, Any], ...] = (
    {"type": "request_vote", "term": 3, "last_log_index": 7, "last_log_term": 2, "transfer": True},
    {
        "type": "append_entries",
        "term": 3,
        "commit_index": 5,
        "prevLogIdx": 6,
        "prevLogTerm": 2,
        "entries": [(b"\0x", 7, 3)],
        "sent": 1.5,
    },
    {
        "type": "piece",
        "term": 3,
        "meta": SnapshotMeta(5, 2, Membership(("a", "b"), ("c",))),
        "total": 9,
        "offset": 4,
        "data": b"12345",
        "sent": 1.5,
    },
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
def test_a_message_arrives_as_it_was_sent(message: dict[str, Any]):
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "message", [Forward(3, [b"x"]), NotTaken(4), Removed(2, 9)], ids=lambda one: type(one).__name__
)
def test_what_both_stores_send_arrives_too(message: Any):
    assert decode(encode_shared(message)) == message


def test_what_upstream_would_have_taken_is_none():
    for sent in (pickle.dumps(MESSAGES[0]), encode({"type": "readonly"}), encode({"type": "status"})):
        with pytest.raises(ValueError, match="no message"):
            decode(sent)


def test_a_field_that_is_not_known_does_not_get_in():
    piecemeal = {**MESSAGES[1], "transmission": "finish", "data": pickle.dumps("x")}
    assert decode(encode(piecemeal)) == MESSAGES[1]


def test_garbage_is_none():
    chance = Random(11)
    whole = [encode(message) for message in MESSAGES]
    for nested in (b"\x91" * 100_000, b"\x92\xa5piece" + b"\x91" * 100_000):
        with pytest.raises(ValueError, match="no message"):
            decode(nested)
    refused = 0
    for _ in range(3000):
        frame = bytearray(chance.choice(whole))
        for _ in range(chance.choice((1, 2, 8))):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        try:
            message = decode(bytes(frame[: chance.choice((len(frame), chance.randrange(len(frame))))]))
        except ValueError:
            refused += 1
        else:
            assert isinstance(message, dict)
            assert message["term"] >= 0
    assert refused > 1000
