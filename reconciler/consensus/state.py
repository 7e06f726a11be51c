"""The state that the parts of the core share, and the few steps that all of them take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from reconciler.consensus.log import Log
from reconciler.consensus.outputs import Envelope, ReadDone, Role, RoleChange, SnapshotPiece, SnapshotRead
from reconciler.consensus.peers import NEVER_S, Leading
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import Entry, HardState, Message, NodeId, ReadReply, SnapshotMeta

_MASK = (1 << 64) - 1


class Flight:
    """A Ready that was handed out and is not yet persisted. `last` is the newest entry in it that still counts."""

    __slots__ = ("given_s", "hard_state", "last", "number")

    def __init__(self, number: int, last: int, hard_state: HardState | None, given_s: float) -> None:
        self.number = number
        self.given_s = given_s
        self.last = last
        self.hard_state = hard_state


class Staging:
    """A snapshot on its way in: from whom, which, and how much of it is here."""

    __slots__ = ("meta", "received", "sender", "total")

    def __init__(self, sender: NodeId, meta: SnapshotMeta, total: int) -> None:
        self.sender = sender
        self.meta = meta
        self.total = total
        self.received = 0


class State:
    """Everything a node knows. Only the modules of this room change it."""

    __slots__ = (
        "after", "at_once", "campaign_s", "chunks_wanted", "commit", "election_due_s", "flights", "forwarded",
        "forwarded_number", "handed", "hard_given", "hard_saved", "heard_s", "installing", "leader", "leading", "log",
        "new_readers", "node_id", "now_s", "persisted", "pieces", "random", "read_at", "reads_done",
        "refused_until_s", "refused_why", "role", "role_told", "settings", "snapshot", "staging", "term", "ungiven",
        "voted_for", "votes",
    )  # fmt: skip

    def __init__(
        self,
        node_id: NodeId,
        settings: ConsensusSettings,
        hard_state: HardState,
        snapshot: SnapshotMeta | None,
        log: Log,
    ) -> None:
        self.node_id = node_id
        self.settings = settings
        self.log = log
        self.snapshot = snapshot  # the newest one on our disk
        # what is on disk, and what was handed out to be put there
        self.term = hard_state.term
        self.voted_for = hard_state.voted_for
        self.hard_given = hard_state
        self.hard_saved = hard_state
        self.persisted = log.last_index
        self.ungiven = log.last_index + 1  # first entry that no Ready has held yet
        self.flights: deque[Flight] = deque()
        # who leads
        self.role = Role.FOLLOWER
        self.leader: NodeId = ""
        self.role_told = RoleChange(Role.FOLLOWER, 0, "")
        self.leading: Leading | None = None
        self.votes: dict[NodeId, bool] = {}
        self.campaign_s = NEVER_S
        # time; `heard_s` is when we last heard a leader or gave a vote
        self.now_s = 0.0
        self.heard_s = NEVER_S
        self.election_due_s = 0.0
        self.random = 0
        # how far the log is committed, and handed out to be applied
        self.commit = log.base_index
        self.handed = log.base_index
        # snapshots on their way
        self.staging: Staging | None = None
        self.installing: SnapshotMeta | None = None
        self.refused_until_s = NEVER_S  # the last one could not be used: none is taken before then
        self.refused_why = ""
        self.pieces: list[SnapshotPiece] = []
        self.chunks_wanted: list[SnapshotRead] = []
        # readers: not yet asked for, asked for at the leader, and waiting until `handed` reaches their index
        self.new_readers: list[int] = []
        self.forwarded: dict[int, tuple[float, list[int]]] = {}
        self.forwarded_number = 0
        self.read_at: list[tuple[int, int]] = []
        self.reads_done: list[ReadDone] = []
        # messages for the next Ready
        self.at_once: list[Envelope] = []
        self.after: list[Envelope] = []

    # --- time and chance ---

    def jitter(self) -> float:
        """The next number of [0, 1), from the seed given at the start (splitmix64)."""
        self.random = (self.random + 0x9E3779B97F4A7C15) & _MASK
        mixed = self.random
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)

    def restart_election_timer(self) -> None:
        """Wait for a leader to be heard."""
        self._stand_within(self.settings.election_min_s, self.settings.election_max_s)

    def ask_again_soon(self) -> None:
        """Wait for answers to a pre-vote. Asking once more changes nothing anywhere, so it need not wait long.

        The first to ask is often refused for the one heartbeat that another heard later.
        """
        self._stand_within(2 * self.settings.heartbeat_s, self.settings.fallback_s)

    def _stand_within(self, low_s: float, high_s: float) -> None:
        self.election_due_s = self.now_s + low_s + self.jitter() * (high_s - low_s)

    def hears_leader(self) -> bool:
        """Whether a leader may still rely on us: then nobody else gets our vote (thesis 4.2.3, 6.4.1)."""
        if self.role is Role.LEADER:
            return True
        return self.now_s < self.heard_s + self.settings.election_min_s

    # --- messages ---

    def send(self, to: NodeId, message: Message, *, durable: bool = False) -> None:
        """Put a message into the next Ready. `durable`: it speaks of something that may not be on disk yet.

        While our term or vote isn't on disk nothing leaves at once: a message of a term is a promise to stay in it.
        """
        if durable or self.hard_saved.term != self.term or self.hard_saved.voted_for != self.voted_for:
            self.after.append(Envelope(to, message))
        else:
            self.at_once.append(Envelope(to, message))

    # --- roles ---

    def follow(self, term: int, leader: NodeId) -> None:
        """Be a follower in `term`, which is at least ours."""
        was_refused = self.role is Role.PRE_CANDIDATE and term == self.term and not leader
        if term > self.term:
            self.term = term
            self.voted_for = ""
        if self.leading is not None:
            self.stop_leading()
        if was_refused:
            self.ask_again_soon()
        elif self.role is not Role.FOLLOWER or leader != self.leader or not leader:
            self.restart_election_timer()
        self.role = Role.FOLLOWER
        self.leader = leader
        self.votes.clear()

    def stop_leading(self) -> None:
        """Forget the leadership; whoever waits for a read in it is told to ask again."""
        leading, self.leading = self.leading, None
        if leading is None:
            return
        self.fail_readers(leading.new_readers)
        for waiting in leading.read_rounds:
            self.fail_readers(waiting.readers)
        self.chunks_wanted.clear()

    def fail_readers(self, readers: Iterable[tuple[NodeId, int]]) -> None:
        for node, number in readers:
            if node:
                self.send(node, ReadReply(self.term, number, 0))
            else:
                self.reads_done.append(ReadDone(number, 0))

    # --- the log ---

    def append(self, entry: Entry) -> None:
        self.log.append(entry)

    def truncate(self, last: int) -> None:
        """Drop entries behind `last`. What is being written counts only as far as it is still ours."""
        self.log.truncate(last)
        self.persisted = min(self.persisted, last)
        self.ungiven = min(self.ungiven, last + 1)
        for flight in self.flights:
            flight.last = min(flight.last, last)

    def may_stand(self) -> bool:
        """Whether this node may lead: as a voter, or as one whose removal it has and nobody is known to have committed.

        The latter may be the only one with the newest entries, and so the only one that can win (thesis 4.2.2). It
        doesn't vote for itself, and leads only until its removal is committed.
        """
        log = self.log
        if self.node_id in log.members.voters:
            return True
        return log.members_index > self.commit and self.node_id in log.members_before.voters

    def won(self, yes: int) -> bool:
        """Whether `yes` voters are a majority."""
        return yes > len(self.log.members.voters) // 2
