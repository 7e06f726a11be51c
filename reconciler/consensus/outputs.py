"""What comes out of the core: Ready values, answers to proposals, Status."""

from __future__ import annotations

import enum

import msgspec

from reconciler.consensus.values import Entry, HardState, Membership, Message, NodeId, SnapshotMeta


class Role(enum.IntEnum):
    FOLLOWER = 0
    PRE_CANDIDATE = 1  # asks whether an election would succeed; its term has not changed
    CANDIDATE = 2
    LEADER = 3
    REMOVED = 4  # told by a member that it is none any more; final


class RoleChange(msgspec.Struct, frozen=True):
    """Who leads has changed, or what this node is. `leader` is "" while unknown."""

    role: Role
    term: int
    leader: NodeId


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A message and for whom it is."""

    to: NodeId
    message: Message


class SnapshotPiece(msgspec.Struct, frozen=True):
    """`data` to write at `offset` of the snapshot that is being received; at offset 0 a new one starts.

    With `last` it is complete: publish it, load it into the state machine, then call `core.snapshot_installed(meta)`,
    or `core.snapshot_refused(now_s, wait_s)` when it can't be used.
    """

    meta: SnapshotMeta
    offset: int
    data: bytes
    last: bool


class SnapshotRead(msgspec.Struct, frozen=True):
    """Up to `bytes_max` bytes at `offset` of our snapshot `meta` are wanted for `peer`: `core.send_chunk(...)`.

    When that snapshot is gone: `core.snapshot_gone(peer)`.
    """

    peer: NodeId
    meta: SnapshotMeta
    offset: int
    bytes_max: int


class ReadDone(msgspec.Struct, frozen=True, gc=False):
    """A linearizable read may go on.

    The reader `token` may read now, at `index`, which is applied with this Ready; 0: no leader confirmed, ask again.
    """

    token: int
    index: int


class Ready(msgspec.Struct, frozen=True):
    """What to do now, in this order; Readies strictly one after the other, but persisting may run in the background.

    1. `role`: start or end leading. Leading ends before any message of this Ready leaves.
    2. `messages`: send at once; they may be lost, doubled or overtake each other.
    3. `entries` (the first says from where the log is replaced) and `hard_state`: write, sync once, then
       `core.persisted(number)` and only then `messages_after`. Also when there is nothing to write: then they wait
       for the Readies before.
    4. `committed`: apply, in order. All of them are synced here and on a majority.
    5. `pieces` of a snapshot to store, `chunks_wanted` of ours for peers that are too far behind.
    6. `reads`: let these readers read, after `committed` was applied.
    """

    number: int
    role: RoleChange | None = None
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    messages: tuple[Envelope, ...] = ()
    messages_after: tuple[Envelope, ...] = ()
    committed: tuple[Entry, ...] = ()
    pieces: tuple[SnapshotPiece, ...] = ()
    chunks_wanted: tuple[SnapshotRead, ...] = ()
    reads: tuple[ReadDone, ...] = ()

    @property
    def must_sync(self) -> bool:
        """Whether there is something to write."""
        return bool(self.entries) or self.hard_state is not None


class Reason(enum.StrEnum):
    """Why the core did not take something."""

    NOT_LEADER = "not-leader"
    TRANSFERRING = "transferring"  # leadership is being handed over
    OVERLOADED = "overloaded"  # too much is uncommitted, kept in memory, or waiting
    TOO_LARGE = "too-large"
    TOO_EARLY = "too-early"  # this leader has not committed anything yet
    CHANGE_PENDING = "change-pending"  # an earlier membership change is not committed
    ALREADY_SO = "already-so"
    NO_MEMBER = "no-member"
    NOT_CAUGHT_UP = "not-caught-up"
    TRANSFER_FIRST = "transfer-first"  # the leader can't be removed while it leads
    LAST_VOTER = "last-voter"
    TOO_MANY_MEMBERS = "too-many-members"


class Refused(msgspec.Struct, frozen=True):
    """Not taken, and sure to have no effect. `leader` is where to ask instead, "" if unknown."""

    reason: Reason
    leader: NodeId = ""


class Proposed(msgspec.Struct, frozen=True):
    """In the leader's log as entries `first_index` to `last_index`, not yet committed.

    It is committed if entries of this `term` come out at these indexes, and lost for ever if others do. Until one of
    both is seen, also after losing leadership, the outcome is unknown.
    """

    first_index: int
    last_index: int
    term: int


class MemberVerb(enum.StrEnum):
    ADD = "add"  # as a learner
    PROMOTE = "promote"  # a caught-up learner to a voter
    REMOVE = "remove"


class MemberChange(msgspec.Struct, frozen=True):
    verb: MemberVerb
    node: NodeId


class PeerStatus(msgspec.Struct, frozen=True):
    """The leader's view of another member. `silent_s`: seconds since it sent the last heartbeat that was answered,
    infinity if none was since it leads.

    `refuses`: why it can't use the snapshot that it needs, in its own words; "" unless it has said so.
    """

    node: NodeId
    voter: bool
    match_index: int
    next_index: int
    flow: str
    silent_s: float
    caught_up: bool
    refuses: str = ""


class Status(msgspec.Struct, frozen=True):
    """What `status` shows. `peers` is empty unless this node leads, which it has done for `led_s` seconds."""

    node: NodeId
    role: Role
    term: int
    voted_for: NodeId
    leader: NodeId
    first_index: int
    last_index: int
    commit_index: int
    handed_index: int
    persisted_index: int
    snapshot_index: int
    log_bytes: int
    members: Membership
    members_index: int
    members_pending: bool
    transferring_to: NodeId
    waiting_reads: int
    peers: tuple[PeerStatus, ...]
    led_s: float = 0.0
