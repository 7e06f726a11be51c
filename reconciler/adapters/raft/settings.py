"""Every time and limit of a member, each with its unit, its default and why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconciler.adapters.raft.hard_state import Owner
from reconciler.consensus.settings import ConsensusSettings
from reconciler.model.replication import Address


class Limits(msgspec.Struct, frozen=True):
    """What a member keeps, waits for and does at a time."""

    entry_bytes: int = 256 * 1024
    """Bytes of the transactions that share an entry: as much as one message carries, so that it leaves at once. A
    larger transaction has an entry of its own."""

    entry_transactions: int = 1_000
    """Transactions that share an entry: a few milliseconds of applying, which nothing else interrupts."""

    entries_under_way: int = 4
    """Entries that a leader has proposed and not yet applied. More at a time make them smaller, not faster: a sync
    takes all that waits."""

    waiting_count: int = 20_000
    """Transactions that wait to be proposed here; more are refused as overloaded."""

    waiting_bytes: int = 64 * 1024 * 1024
    """Bytes of them."""

    forwards_under_way: int = 8
    """Unanswered forwards of a follower to the leader; each is as large as an entry."""

    forward_answer_s: float = 1.0
    """Seconds after which an unanswered forward counts as lost, and is repeated."""

    guests_bytes: int = 16 * 1024 * 1024
    """Bytes of other members' transactions that wait at a leader; it refuses more, and they wait there."""

    guests_count: int = 10_000
    """Their number: a tenth of a second of applying, however small they are."""

    readers: int = 10_000
    """Read barriers that wait here; more are refused as overloaded."""

    watch_entries: int = 16_384
    """Entries whose changes are kept for watchers."""

    watch_changes: int = 100_000
    """Changes in them, since one entry may have thousands."""

    disk_retry_s: float = 0.5
    """Seconds between attempts to write to a disk that is full."""

    work_end_s: float = 0.3
    """Seconds for a leader's work to end after its leadership: what is between a leader's fallback (0.7 s) and the
    first moment at which another may lead (1.0 s)."""

    hand_over_s: float = 2.0
    """Seconds for a hand-over of leadership at the end of a member; then it stops without."""

    leaver_s: float = 10.0
    """Seconds that a removed member may still be reached, to be told."""

    news_s: float = 0.003
    """Seconds that a leader holds the news of a commit back from members that forward nothing: by then the next entries
    have mostly told it, and each message spared is a tenth of a write's cost."""

    sweep_s: float = 0.1
    """Seconds between looks at what is overdue."""

    snapshot_bytes: int = 64 * 1024 * 1024
    """Bytes of the log after which a snapshot is taken, or twice those of the last snapshot if that is more."""

    kept_bytes: int = 16 * 1024 * 1024
    """Bytes of the log that stay in memory behind a snapshot, so that who was away for a moment needs none."""

    snapshot_retry_s: float = 30.0
    """Seconds until a snapshot that failed for lack of space is tried again."""

    snapshot_again_s: float = 10.0
    """Seconds until a leader's snapshot that can't be used is asked for again; twice as many after each failure."""

    snapshot_again_max_s: float = 600.0
    """Seconds at most between two such attempts, each of which carries the whole snapshot."""


class MemberSettings(msgspec.Struct, frozen=True):
    """Which member this is, and how it works."""

    folder: str
    """Where its log is. Nobody else's, and for ever the same."""

    owner: Owner
    """The group, and this member's name in it, which is never given twice."""

    patience_s: float = 10.0
    """Seconds that a caller waits for a leader, or for an outcome: several elections at the default times."""

    consensus: ConsensusSettings = msgspec.field(default_factory=ConsensusSettings)
    limits: Limits = msgspec.field(default_factory=Limits)

    named: Mapping[str, Address] = msgspec.field(default_factory=dict)
    """The members that the operator names. Whom the log does not know is reached, and let in, only while no leader is
    heard for long: the log may be older than they are."""

    address: Address | None = None
    """Where the others reach this member; recorded when it differs from what is. None: as it was added."""
