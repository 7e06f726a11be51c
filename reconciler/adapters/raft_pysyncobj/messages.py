"""What members on PySyncObj send to each other, as msgpack: [kind, fields].

Upstream pickles its messages, which runs whatever a peer sends. Here only the fields below get in, each of its type;
what is none of these messages is refused. The first five kinds are upstream's own, with what ours adds to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypeAlias, TypedDict

import msgspec
from msgspec import Meta, Raw

from reconciler.adapters.raft.frames import Forward, Leave, NotTaken, Placed
from reconciler.adapters.raft_pysyncobj.upstream import Fields
from reconciler.consensus.values import Removed, SnapshotMeta

Index = Annotated[int, Meta(ge=0, le=(1 << 62))]


class NoMessage(ValueError):
    """What came is none of these messages, or says what can't be. Nothing of it was taken over."""


class RequestVote(TypedDict):
    """`transfer`: the leader asked for this election, so voters grant it although they hear that leader."""

    term: Index
    last_log_index: Index
    last_log_term: Index
    transfer: bool


class ResponseVote(TypedDict):
    """A vote; who refuses says nothing."""

    term: Index


class AppendEntries(TypedDict):
    """Without prevLogIdx it is a heartbeat to a peer that needs a snapshot. `sent` is the leader's clock, seconds."""

    term: Index
    commit_index: Index
    prevLogIdx: NotRequired[Index | None]
    prevLogTerm: NotRequired[Index | None]
    entries: NotRequired[list[tuple[bytes, Index, Index]]]
    sent: float


class NextNodeIdx(TypedDict):
    """The answer to append_entries: all before `next_node_idx` is equal and synced (`success`), or send from there
    (`reset`). `sent` is that of the newest message that was heard; 0 in answer to a leader of the past."""

    term: Index
    next_node_idx: Index
    success: bool
    reset: bool
    sent: float


class TimeoutNow(TypedDict):
    """The leader has stepped down in the receiver's favour."""

    term: Index


class PreVote(TypedDict):
    """Would you vote for me in `term`? Nobody's term changes by it (Ongaro's thesis 9.6)."""

    term: Index
    last_log_index: Index
    last_log_term: Index
    round: Index


class PreVoteReply(TypedDict):
    """`term` is the voter's own."""

    term: Index
    round: Index
    granted: bool


class Piece(TypedDict):
    """`data` at `offset` of a snapshot of `total` bytes."""

    term: Index
    meta: SnapshotMeta
    total: Index
    offset: Index
    data: bytes
    sent: float


class PieceReply(TypedDict):
    """The receiver has the first `offset` bytes of the snapshot at `index`; or `why` it can't use it, for people."""

    term: Index
    index: Index
    offset: Index
    sent: float
    why: NotRequired[str]


Shared: TypeAlias = Forward | Placed | NotTaken | Leave | Removed
"""What has the same meaning in our own store."""

KINDS: dict[str, Any] = {
    "request_vote": RequestVote,
    "response_vote": ResponseVote,
    "append_entries": AppendEntries,
    "next_node_idx": NextNodeIdx,
    "timeout_now": TimeoutNow,
    "pre_vote": PreVote,
    "pre_vote_reply": PreVoteReply,
    "piece": Piece,
    "piece_reply": PieceReply,
    "shared": Shared,
}
_DECODERS: dict[str, Callable[[Raw], Any]] = {
    kind: msgspec.msgpack.Decoder(fields).decode for kind, fields in KINDS.items()
}
_FRAME = msgspec.msgpack.Decoder(tuple[str, Raw])
_ENCODER = msgspec.msgpack.Encoder()


def encode(message: Fields) -> bytes:
    """The frame of a message, whose `type` is one of KINDS."""
    return _ENCODER.encode((message["type"], {name: value for name, value in message.items() if name != "type"}))


def encode_shared(message: Shared) -> bytes:
    """The frame of a message that is the same in our own store."""
    return _ENCODER.encode(("shared", message))


def decode(frame: bytes) -> Fields | Shared:
    """The message in a frame. Raises NoMessage for anything else."""
    try:
        kind, fields = _FRAME.decode(frame)
        message: Fields | Shared = _DECODERS[kind](fields)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise NoMessage(f"it is no message ({type(error).__name__})") from error
    if isinstance(message, dict):
        message["type"] = kind
    return message
