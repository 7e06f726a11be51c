"""What a leader knows of each other member, and of its own leadership. All of it is forgotten with the leadership."""

from __future__ import annotations

import enum
from collections import deque

from reconciler.consensus.values import NodeId, SnapshotMeta

NEVER_S = float("-inf")


class Flow(enum.StrEnum):
    """How entries go to a peer."""

    PROBE = "probe"  # where its log meets ours is unknown: one message at a time
    STREAM = "stream"  # many messages under way, each taken for accepted
    SNAPSHOT = "snapshot"  # what it needs is no longer in the log


class Peer:
    """One other member. `match` is synced there and equal to ours; `next` is what goes out next."""

    __slots__ = (
        "acked_round", "acked_s", "chunk_due_s", "commit_told", "flow", "inflight", "inflight_bytes",
        "match", "next", "offset", "paused", "refuses", "snapshot",
    )  # fmt: skip

    def __init__(self, next_index: int, acked_s: float) -> None:
        self.match = 0
        self.next = next_index
        self.flow = Flow.PROBE
        self.paused = False  # PROBE only: a message is under way
        self.inflight: deque[tuple[int, int]] = deque()  # (last index, bytes) of messages with entries
        self.inflight_bytes = 0
        self.acked_round = 0
        self.acked_s = acked_s  # when the newest heartbeat that it answered was sent
        self.commit_told = 0
        self.snapshot: SnapshotMeta | None = None
        self.offset = 0  # SNAPSHOT only: of the piece that is under way
        self.chunk_due_s = NEVER_S  # SNAPSHOT only: when to ask for it again
        self.refuses = ""  # why it can't use the snapshot that it needs

    def probe(self, next_index: int) -> None:
        """Stop streaming; find out where the logs meet, beginning before `next_index`."""
        self.flow = Flow.PROBE
        self.paused = False
        self.next = next_index
        self.inflight.clear()
        self.inflight_bytes = 0
        self.snapshot = None

    def stream(self) -> None:
        self.flow = Flow.STREAM
        self.next = max(self.next, self.match + 1)
        self.snapshot = None
        self.refuses = ""

    def sent(self, last_index: int, size: int) -> None:
        """Entries up to `last_index` are under way."""
        self.next = last_index + 1
        self.inflight.append((last_index, size))
        self.inflight_bytes += size

    def acknowledged(self, index: int) -> None:
        """Entries up to `index` are synced there; answers may come late and in any order."""
        self.match = max(self.match, index)
        inflight = self.inflight
        while inflight and inflight[0][0] <= index:
            self.inflight_bytes -= inflight.popleft()[1]


class ReadRound:
    """Readers that share one round of heartbeats: when a majority answers it, `index` was still the newest commit."""

    __slots__ = ("index", "readers", "round")

    def __init__(self, round_number: int, index: int, readers: list[Reader]) -> None:
        self.round = round_number
        self.index = index
        self.readers = readers


Reader = tuple[NodeId, int]
"""Who waits: ("", token) for a reader of this node, (follower, request number) for another's."""


class Leading:
    """A leadership: its peers, heartbeat rounds, waiting reads, and a hand-over under way."""

    __slots__ = (
        "began_s", "heartbeat_due_s", "leaving", "new_readers", "peers", "quorum_until_s", "read_rounds", "round",
        "round_sent", "start_index", "transfer_due_s", "transfer_to", "uncommitted_bytes",
    )  # fmt: skip

    def __init__(self, start_index: int, uncommitted_bytes: int, began_s: float) -> None:
        self.began_s = began_s
        self.peers: dict[NodeId, Peer] = {}
        self.leaving: dict[NodeId, int] = {}  # removed members that get entries until they can be told, and by which
        self.start_index = start_index  # of this term's first entry
        self.uncommitted_bytes = uncommitted_bytes
        self.round = 0
        self.round_sent: deque[tuple[int, float]] = deque()
        self.heartbeat_due_s = NEVER_S
        self.quorum_until_s = NEVER_S  # known to lead until then, without looking again
        self.new_readers: list[Reader] = []
        self.read_rounds: deque[ReadRound] = deque()
        self.transfer_to: NodeId = ""
        self.transfer_due_s = NEVER_S

    def sent_at(self, round_number: int) -> float | None:
        """When a heartbeat round was sent; None when that is too long ago to matter."""
        if not self.round_sent or round_number < self.round_sent[0][0]:
            return None
        position = round_number - self.round_sent[0][0]
        return self.round_sent[position][1] if position < len(self.round_sent) else None
