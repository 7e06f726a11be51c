"""The door of the consensus core: time and messages in, Ready values out.

    while (ready := core.ready()) is not None:
        ...                      # do what Ready's docstring says, in that order
        core.persisted(ready.number, now_s)

Not safe for threads: one task calls it. Syncing may run elsewhere meanwhile, but `persisted` is called from that task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.consensus import election, following, membership, reads, replication, snapshots, status
from reconciler.consensus.log import ENTRY_OVERHEAD_BYTES, Log
from reconciler.consensus.outputs import (
    MemberChange,
    Proposed,
    Ready,
    Reason,
    Refused,
    Role,
    RoleChange,
    SnapshotRead,
    Status,
)
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.state import Flight, State
from reconciler.consensus.values import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    HardState,
    Membership,
    Message,
    NodeId,
    ReadReply,
    ReadRequest,
    Removed,
    SnapshotChunk,
    SnapshotMeta,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
    membership_entry,
)

INFINITY_S = float("inf")


class Core:
    """One manager's consensus. `now_s` is a monotonic clock of this process, the same in all calls."""

    __slots__ = ("_number", "_state")

    def __init__(
        self,
        node_id: NodeId,
        settings: ConsensusSettings,
        disk: tuple[HardState, SnapshotMeta | None, Iterable[Entry]],
        *,
        now_s: float,
        jitter_seed: int,
    ) -> None:
        """Start from what `disk` holds; the state machine must hold the snapshot's state.

        `jitter_seed` must differ between managers and starts. Raises SwarmctlError (raft-inconsistent) when the parts
        of `disk` contradict each other.
        """
        hard_state, snapshot, entries = disk
        log = Log(snapshot, entries)
        state = self._state = State(node_id, settings, hard_state, snapshot, log)
        if log.last_term > hard_state.term:
            # The crash kept the entries and lost the new term written with them. No vote of that term can have left.
            state.term, state.voted_for = log.last_term, ""
        self._number = 0
        state.random = jitter_seed
        state.now_s = now_s
        # Before it stopped, this node may have answered a leader that still relies on it.
        state.heard_s = now_s
        state.restart_election_timer()
        # A late answer to a question from before the start must not look like one to a question of now.
        state.forwarded_number = int(state.jitter() * (1 << 53))

    # --- inputs ---

    def tick(self, now_s: float) -> None:
        """Time has passed. Call it at `next_due_s`, or every few tens of milliseconds."""
        state = self._at(now_s)
        if state.forwarded:
            reads.expire(state)
        leading = state.leading
        if leading is not None:
            if state.flights and now_s - state.flights[0].given_s > state.settings.disk_stall_s:
                state.follow(state.term, "")  # its candidacy would need the same disk, so another one wins
            elif now_s >= leading.heartbeat_due_s:
                replication.begin_round(state, leading)
        elif state.role is not Role.REMOVED and now_s >= state.election_due_s:
            election.campaign(state)

    def receive(self, sender: NodeId, message: Message, now_s: float) -> None:
        """A message of another member has come; `sender` is who its certificate says."""
        state = self._at(now_s)
        if state.role is Role.REMOVED:
            return
        match message:
            case VoteRequest():
                election.on_vote_request(state, sender, message)
            case VoteReply():
                election.on_vote_reply(state, sender, message)
            case Removed():
                membership.on_removed(state, message)
            case _ if message.term < state.term:
                self._answer_old(sender, message)
            case _:
                self._receive_of_term(sender, message)

    def _receive_of_term(self, sender: NodeId, message: Message) -> None:
        state = self._state
        if message.term > state.term:
            state.follow(message.term, sender if isinstance(message, Append | SnapshotChunk) else "")
        match message:
            case Append():
                following.on_append(state, sender, message)
            case AppendReply():
                replication.on_append_reply(state, sender, message)
            case SnapshotChunk():
                following.hear(state, sender)
                snapshots.on_chunk(state, sender, message)
            case SnapshotReply():
                replication.on_snapshot_reply(state, sender, message)
            case TimeoutNow():
                election.on_timeout_now(state, sender, message)
            case ReadRequest():
                reads.on_read_request(state, sender, message)
            case ReadReply():
                reads.on_read_reply(state, message)

    def _answer_old(self, sender: NodeId, message: Message) -> None:
        """An old leader learns the newer term from an answer; an old follower, that it asked in vain."""
        state = self._state
        if isinstance(message, Append | SnapshotChunk):
            state.send(sender, AppendReply(state.term, 0, accepted=False, index=0))
        elif isinstance(message, ReadRequest):
            state.send(sender, ReadReply(state.term, message.number, 0))
        elif isinstance(message, ReadReply):
            reads.on_read_reply(state, message)

    def propose(self, datas: Sequence[bytes], now_s: float) -> Proposed | Refused:
        """Put entries into the log, all or none. Batch what waits: entries of one Ready share a sync and a message."""
        state = self._at(now_s)
        leading = state.leading
        refusal = self._refusal(sum(map(len, datas)) + ENTRY_OVERHEAD_BYTES * len(datas))
        if leading is None or refusal is not None:
            return refusal or Refused(Reason.NOT_LEADER, state.leader)
        if any(len(data) > state.settings.entry_bytes_max for data in datas):
            return Refused(Reason.TOO_LARGE, state.leader)
        first = state.log.last_index + 1
        for data in datas:
            replication.propose(state, leading, EntryKind.NORMAL, data)
        return Proposed(first, state.log.last_index, state.term)

    def _refusal(self, size: int) -> Refused | None:
        state = self._state
        leading, settings = state.leading, state.settings
        if leading is None:
            return Refused(Reason.NOT_LEADER, state.leader)
        if leading.transfer_to:
            return Refused(Reason.TRANSFERRING, leading.transfer_to)
        # A single batch larger than the limit passes when nothing else is under way.
        uncommitted = leading.uncommitted_bytes
        if (
            uncommitted and uncommitted + size > settings.uncommitted_bytes_max
        ) or state.log.bytes > settings.log_bytes_max:
            return Refused(Reason.OVERLOADED, state.leader)
        return None

    def change_members(self, change: MemberChange, now_s: float) -> Proposed | Refused:
        """Add a learner, promote one, or remove a member: one change at a time."""
        state = self._at(now_s)
        leading = state.leading
        refusal = self._refusal(0)
        if leading is None or refusal is not None:
            return refusal or Refused(Reason.NOT_LEADER, state.leader)
        members = membership.next_membership(state, leading, change)
        if isinstance(members, Refused):
            return members
        index = state.log.last_index + 1
        replication.propose(state, leading, EntryKind.MEMBERSHIP, membership_entry(index, state.term, members).data)
        membership.sync_peers(state, leading)
        return Proposed(index, index, state.term)

    def transfer(self, node: NodeId, now_s: float) -> Refused | None:
        """Hand leadership to a voter; None when it is under way. Given up after `election_min_s`."""
        state = self._at(now_s)
        refusal = self._refusal(0)
        if state.leading is None or (refusal is not None and refusal.reason is not Reason.OVERLOADED):
            return refusal
        if node == state.node_id:
            return Refused(Reason.ALREADY_SO, state.leader)
        if node not in state.log.members.voters:
            return Refused(Reason.NO_MEMBER, state.leader)
        if not membership.is_caught_up(state, state.leading.peers[node]):
            return Refused(Reason.NOT_CAUGHT_UP, state.leader)
        state.leading.transfer_to = node
        state.leading.transfer_due_s = now_s + state.settings.election_min_s
        return None

    def read(self, token: int, now_s: float) -> Refused | None:
        """Ask for a linearizable read; `ReadDone(token, ...)` comes in a later Ready. `token` is the caller's."""
        return reads.ask(self._at(now_s), token)

    def persisted(self, number: int, now_s: float) -> None:
        """Ready `number` and all before it are synced."""
        state = self._at(now_s)
        while state.flights and state.flights[0].number <= number:
            flight = state.flights.popleft()
            state.persisted = max(state.persisted, flight.last)
            state.hard_saved = flight.hard_state or state.hard_saved
        election.own_vote_saved(state)
        if state.leading is not None:
            replication.advance_commit(state, state.leading)

    # --- snapshots ---

    def compact(self, snapshot: SnapshotMeta, up_to: int) -> None:
        """Our snapshot is published; entries up to `up_to`, at most its index, may be forgotten.

        Keeping some of the newest saves peers that are a little behind from a whole snapshot.
        """
        state = self._state
        if state.snapshot is None or snapshot.index > state.snapshot.index:
            state.snapshot = snapshot
        state.log.compact(min(up_to, state.snapshot.index, state.handed))

    def snapshot_meta(self, index: int) -> SnapshotMeta:
        """What a snapshot of the state at `index` is described by; `index` is applied and not yet compacted."""
        log = self._state.log
        return SnapshotMeta(index, log.term_at(index) or 0, log.members_at(index))

    def snapshot_installed(self, meta: SnapshotMeta, now_s: float) -> None:
        """The snapshot whose last piece came is published and loaded; all Readies before it are persisted."""
        snapshots.installed(self._at(now_s), meta)

    def snapshot_refused(self, now_s: float, wait_s: float, why: str = "") -> None:
        """The snapshot of the last pieces can't be used; none is wanted for `wait_s`, more than 0. `why` is told."""
        snapshots.refused(self._at(now_s), wait_s, why)

    def send_chunk(self, wanted: SnapshotRead, data: bytes, total: int, now_s: float) -> None:
        """`data` is what `wanted` asked for, of a snapshot of `total` bytes."""
        state = self._at(now_s)
        if state.leading is not None:
            snapshots.send_chunk(state, state.leading, wanted, data, total)

    def snapshot_gone(self, peer: NodeId) -> None:
        """The wanted snapshot has been replaced by a newer one: start over with that."""
        leading = self._state.leading
        if leading is not None and peer in leading.peers:
            snapshots.begin(self._state, peer, leading.peers[peer])

    # --- outputs ---

    def ready(self) -> Ready | None:
        """What to do now, or None. Call it again after each, until it says None."""
        state = self._state
        if state.leading is not None:
            replication.flush(state, state.leading)
        elif state.new_readers:
            reads.forward(state)
        committed = self._next_committed()
        reads.release(state)
        entries = self._next_entries()
        hard_state = HardState(state.term, state.voted_for)
        new_hard = hard_state if hard_state != state.hard_given else None
        role = self._next_role()
        if not (
            committed or entries or new_hard or role or state.at_once or state.after
            or state.pieces or state.chunks_wanted or state.reads_done
        ):  # fmt: skip
            return None
        self._number += 1
        if entries or new_hard:
            state.flights.append(Flight(self._number, entries[-1].index if entries else 0, new_hard, state.now_s))
            state.hard_given = hard_state
        ready = Ready(
            number=self._number,
            role=role,
            hard_state=new_hard,
            entries=entries,
            messages=tuple(state.at_once),
            messages_after=tuple(state.after),
            committed=committed,
            pieces=tuple(state.pieces),
            chunks_wanted=tuple(state.chunks_wanted),
            reads=tuple(state.reads_done),
        )
        for told in (state.at_once, state.after, state.pieces, state.chunks_wanted, state.reads_done):
            told.clear()
        return ready

    def _next_committed(self) -> tuple[Entry, ...]:
        """Entries to apply: committed, and on our own disk, so that a snapshot of them never outruns the log."""
        state = self._state
        last = min(state.commit, state.persisted)
        if last <= state.handed or state.installing is not None:
            return ()
        entries = state.log.slice(state.handed + 1, last, state.settings.committed_bytes_max)
        state.handed = entries[-1].index
        return entries

    def _next_entries(self) -> tuple[Entry, ...]:
        state = self._state
        if state.ungiven > state.log.last_index:
            return ()
        entries = state.log.slice(state.ungiven, state.log.last_index, state.settings.log_bytes_max)
        state.ungiven = entries[-1].index + 1
        return entries

    def _next_role(self) -> RoleChange | None:
        state = self._state
        told = state.role_told
        if told.role is state.role and told.leader == state.leader and (told.term == state.term or not state.leader):
            return None
        state.role_told = RoleChange(state.role, state.term, state.leader)
        return state.role_told

    @property
    def next_due_s(self) -> float:
        """When `tick` has something to do; infinity for a removed node."""
        state = self._state
        if state.role is Role.REMOVED:
            return INFINITY_S
        due_s = state.leading.heartbeat_due_s if state.leading is not None else state.election_due_s
        return min([due_s, *(expires_s for expires_s, _ in state.forwarded.values())])

    @property
    def log_bytes(self) -> int:
        """Bytes that the log takes in memory; when it has grown much, take a snapshot."""
        return self._state.log.bytes

    @property
    def members(self) -> Membership:
        """The membership that counts: the newest in the log, committed or not."""
        return self._state.log.members

    @property
    def is_installing(self) -> bool:
        """Whether a received snapshot waits for `snapshot_installed` or `snapshot_refused`."""
        return self._state.installing is not None

    def leads(self, now_s: float) -> bool:
        """Whether this node leads at `now_s` and no other can: a majority promised so, not too long ago.

        Looks at nothing but the clock and the answers that came, and changes nothing: a process that was stopped
        in between learns from it that it is late, before it has ticked.
        """
        state, leading = self._state, self._state.leading
        if leading is None:
            return False
        return now_s <= leading.quorum_until_s or now_s <= replication.quorum_until_s(state, leading, now_s)

    def status(self, now_s: float) -> Status:
        """What is known right now."""
        return status.status_of(self._state, now_s)

    def _at(self, now_s: float) -> State:
        state = self._state
        state.now_s = max(now_s, state.now_s)
        if state.leading is not None:
            replication.check_quorum(state)
        return state
