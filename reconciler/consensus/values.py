"""What travels between managers and what they store: entries, hard state, membership, snapshots, messages.

All are frozen and encode with msgspec.msgpack. Messages form a tagged union: decode them with `MESSAGE_DECODER`, which
refuses whatever is none. Who sent a message is not in it: the transport knows, from the peer's certificate.
Fields may be added at the end, with a default; older managers skip what they don't know.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

ENTRIES_MAX = 65_536
"""Entries of one message, and MEMBERS_MAX members: far more than are sent. A frame of millions of tiny ones would cost
seconds and a hundred times its size to decode."""
MEMBERS_MAX = 1_024

Number = Annotated[int, Meta(ge=0, le=1 << 62)]
"""A term, an index, a count. Beyond it what comes next could no longer be written: who takes over such a term is done
for good, since its disk remembers it."""

NodeId = str
"""A manager's name in the group. Never used again for another manager, also not for the same one with an empty disk."""


class EntryKind(enum.IntEnum):
    """What an entry's `data` is."""

    NORMAL = 0  # a command for the state machine
    NOOP = 1  # empty; a leader commits one to learn what is committed (thesis 3.6.2, 6.4)
    MEMBERSHIP = 2  # a Membership, msgpack; counts from when it is in the log, not from its commit (thesis 4.1)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One place of the replicated log. Indexes count from 1 without gaps; terms never fall from one to the next."""

    index: Number
    term: Number
    kind: EntryKind
    data: bytes


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must be on disk before a vote or an answer leaves. `voted_for` is of `term`; "" means nobody yet."""

    term: Number = 0
    voted_for: NodeId = ""


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """Who takes part. Voters elect and count; learners only get the log. Both sorted, nobody is in both."""

    voters: Annotated[tuple[NodeId, ...], Meta(max_length=MEMBERS_MAX)] = ()
    learners: Annotated[tuple[NodeId, ...], Meta(max_length=MEMBERS_MAX)] = ()

    def __contains__(self, node: NodeId) -> bool:
        return node in self.voters or node in self.learners

    @property
    def all(self) -> tuple[NodeId, ...]:
        return self.voters + self.learners


class SnapshotMeta(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot stands for: all entries up to and with `index`, whose last had `term`; `members` as of there.

    The durable log keeps entries after `index` only if its own entry at `index` has `term`; else the snapshot came from
    a leader and replaces the whole log. That must be so on disk before anything is appended behind it, also after a
    crash between the two: a stale entry below a new one would make a later start throw the new one away.
    """

    index: Number
    term: Number
    members: Membership


class VoteRequest(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Asks for a vote in `term`. `pre`: only asks whether it would be given; nobody's term changes (thesis 9.6).

    `transfer`: the leader asked for this election, so voters grant it although they hear that leader.
    """

    term: Number
    last_index: Number
    last_term: Number
    pre: bool = False
    transfer: bool = False


class VoteReply(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """`term` is the asked one when granted, the voter's own when refused."""

    term: Number
    granted: bool
    pre: bool = False


class Append(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Entries to follow the one at `prev_index`, none for a heartbeat. `round` numbers the leader's heartbeats.

    `round` 0 without entries only tells `commit`; nobody answers it unless it doesn't fit.
    """

    term: Number
    prev_index: Number
    prev_term: Number
    commit: Number
    round: Number
    entries: Annotated[tuple[Entry, ...], Meta(max_length=ENTRIES_MAX)] = ()


class AppendReply(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Accepted: `index` is the last entry that is known equal to the leader's and synced on the sender's disk;
    `hint_index` the last that is equal, synced or not.

    Refused: `index` is the refused `prev_index`; `hint_index` the sender's last entry that may be equal, and
    `hint_term` its term, so that the leader skips a whole term at a time.
    """

    term: Number
    round: Number
    accepted: bool
    index: Number
    hint_index: Number = 0
    hint_term: Number = 0


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """`data` at `offset` of a snapshot of `total` bytes."""

    term: Number
    round: Number
    meta: SnapshotMeta
    total: Number
    offset: Number
    data: bytes


class SnapshotReply(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """The receiver has the first `next_offset` bytes of the snapshot at `index`.

    Once it is in use, AppendReply says so. `wait_s` above 0: it can't use what it got, and wants nothing more for so
    many seconds; `why` says so to people.
    """

    term: Number
    round: Number
    index: Number
    next_offset: Number
    wait_s: float = 0.0
    why: str = ""


class TimeoutNow(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """The leader has stepped down in the receiver's favour: start an election at once (thesis 3.10)."""

    term: Number


class Removed(msgspec.Struct, frozen=True, array_like=True, tag=8, gc=False):
    """The receiver is no member as of the committed entry `index`: it should stop."""

    term: Number
    index: Number


class ReadRequest(msgspec.Struct, frozen=True, array_like=True, tag=9, gc=False):
    """A follower's question to the leader: from which index may I answer? One for all its waiting readers."""

    term: Number
    number: Number


class ReadReply(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """The answer to ReadRequest `number`. `index` is 0 when the sender doesn't lead or stopped leading."""

    term: Number
    number: Number
    index: Number


Message = (
    VoteRequest
    | VoteReply
    | Append
    | AppendReply
    | SnapshotChunk
    | SnapshotReply
    | TimeoutNow
    | Removed
    | ReadRequest
    | ReadReply
)

MESSAGE_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
"""Raises msgspec.DecodeError or msgspec.ValidationError for bytes that are no message."""
_ENCODER = msgspec.msgpack.Encoder()
_MEMBERSHIP_DECODER = msgspec.msgpack.Decoder(Membership)


def encode_message(message: Message) -> bytes:
    """The bytes of a message, for the transport to frame."""
    return _ENCODER.encode(message)


def decode_message(data: bytes) -> Message:
    """The message in `data`. Raises msgspec.ValidationError or msgspec.DecodeError for anything else."""
    return MESSAGE_DECODER.decode(data)


def membership_entry(index: int, term: int, members: Membership) -> Entry:
    """An entry that makes `members` the membership."""
    return Entry(index, term, EntryKind.MEMBERSHIP, _ENCODER.encode(members))


def membership_of(entry: Entry) -> Membership:
    """The membership that a MEMBERSHIP entry sets."""
    return _MEMBERSHIP_DECODER.decode(entry.data)
