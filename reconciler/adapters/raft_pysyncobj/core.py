"""Upstream's core with what it lacks: log reconciliation, PreVote, terms on answers, a lease that may be relied on.

The numbers are those of "Found here" in docs/decisions/0017, which says what goes wrong without each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft_pysyncobj.changes import next_membership
from reconciler.adapters.raft_pysyncobj.journal import KINDS, MEMBERSHIP, NORMAL, Journal
from reconciler.adapters.raft_pysyncobj.messages import NoMessage, encode
from reconciler.adapters.raft_pysyncobj.upstream import Fields, LogEntry, Upstream
from reconciler.consensus.outputs import MemberChange, Proposed, Reason, Refused
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import Membership, NodeId, membership_entry
from reconciler.model.errors import ErrorCode, SwarmctlError

_PROMISES = frozenset({"request_vote", "response_vote", "next_node_idx"})
"""What says something of this node's disk, and leaves when it is true."""


class Around(msgspec.Struct, frozen=True):
    """What is around a core: `send` puts a frame on its way (False: dropped), `applied` takes each committed entry,
    `snapshot_wanted` hears which peer needs one, `changed` that leading begins or ends, or members change.
    """

    send: Callable[[NodeId, bytes], bool]
    applied: Callable[[int, bytes], None]
    snapshot_wanted: Callable[[NodeId], None]
    changed: Callable[[], None]


class Core(Upstream):
    """One member. Everything happens in `receive`, `pass_time` and `append`; after each, `flush` soon."""

    def __init__(self, node: NodeId, settings: ConsensusSettings, journal: Journal, around: Around) -> None:
        self.node = node
        self.journal = journal
        self.settings = settings
        self._around = around
        self._outbox: list[tuple[NodeId, Fields]] = []
        self.heard_s = boot_clock()
        """When a leader was last heard. A start counts: this node may have promised one its patience just before."""
        self._sent_by_leader = 0.0
        self._answered: dict[NodeId, float] = {}
        """For each peer of this leader, when the newest message was sent that it has answered."""
        self._reset_s: dict[NodeId, float] = {}
        self._round, self._round_s = 0, 0.0
        self._granted: set[NodeId] = set()
        self._voters: set[NodeId] = set()
        self._standing_by_request = 0
        self._group: Membership | None = None
        self._since_s = 0.0
        self.transfer_to = ""
        """To whom leadership is being handed over; nothing is proposed meanwhile."""
        self._transfer_until_s = 0.0
        super().__init__(node, settings, journal)
        self.follow_group()

    # --- time and disk

    def flush(self) -> None:
        """Make what was added durable, then let out what promises it."""
        self.journal.sync()
        outbox, self._outbox = self._outbox, []
        for node, message in outbox:
            self._around.send(node, encode(message))

    def pass_time(self) -> None:
        """One tick: own entries count as they are durable now; then elections, commit, applying, heartbeats."""
        self.flush()
        committed = self.committed
        self.tick()
        if self.leads and self.committed > committed:
            self.send_entries()  # upstream would tell followers with the next heartbeat only
        if self.transfer_to:
            self._go_on_with_transfer()
        self.follow_group()
        self.flush()

    def follow_group(self) -> None:
        """Let upstream count the members that the newest entry of the log names."""
        group = self.journal.group
        if group is self._group:
            return
        self._group = group
        voters = [node for node in group.voters if node != self.node]
        self.set_peers(voters, [node for node in group.learners if node != self.node])
        self._around.changed()

    # --- leading

    @property
    def lease_s(self) -> float:
        """Until when (by `boot_clock`) no other can lead: a majority answered, and refuses votes for long enough."""
        if not self.leads:
            return 0.0
        group = self.journal.group.voters
        times = sorted((boot_clock() if node == self.node else self._answered.get(node, 0.0)) for node in group)
        majority = len(times) // 2 + 1
        return times[len(times) - majority] + self.settings.fallback_s if times else 0.0

    @property
    def hears_leader(self) -> bool:
        """Whether a leader has the right to rely on this node's patience."""
        now = boot_clock()
        return now < self.lease_s if self.leads else now - self.heard_s < self.settings.election_min_s

    def answered_s(self, node: NodeId) -> float:
        """When the newest message was sent that a peer has answered, or when this leader began."""
        return self._answered.get(node, self._since_s)

    def propose(self, datas: Sequence[bytes], _now_s: float) -> Proposed | Refused:
        """Append entries, as `consensus.core.Core` does."""
        if not self.leads or self.transfer_to:
            return Refused(Reason.TRANSFERRING if self.leads else Reason.NOT_LEADER, self.leader)
        indexes = [self.append(NORMAL + data) for data in datas]
        return Proposed(indexes[0], indexes[-1], self.term)

    def change_members(self, change: MemberChange, _now_s: float) -> Proposed | Refused:
        """Append a change of members, which counts at once; the next one waits until it is committed (thesis 4.1)."""
        after = next_membership(self, change)
        if isinstance(after, Refused):
            return after
        index = self.append(MEMBERSHIP + membership_entry(0, 0, after).data)
        self.follow_group()
        self.send_entries()
        return Proposed(index, index, self.term)

    def transfer(self, node: NodeId, now_s: float) -> Refused | None:
        """Propose nothing more, and let a voter lead as soon as it has all of the log. It ends with `transfer_to`."""
        if not self.leads or node == self.node or node not in self.journal.group.voters or self.transfer_to:
            return Refused(Reason.TRANSFERRING if self.transfer_to else Reason.NO_MEMBER, self.leader)
        self.transfer_to, self._transfer_until_s = node, now_s + self.settings.election_max_s
        return None

    def _go_on_with_transfer(self) -> None:
        target = self.transfer_to
        if self.leads and self.match_of(target) == self.journal.last[1]:
            message = {"type": "timeout_now", "term": self.term}
            self.step_down()  # first, and for good in this term: two must never lead
            self._around.send(target, encode(message))
        if not self.leads or boot_clock() >= self._transfer_until_s:
            self.transfer_to = ""

    # --- what upstream asks

    def may_stand(self) -> bool:
        """Only voters do, and only if a majority says that it would vote for them (PreVote)."""
        group = self.journal.group.voters
        if self.node not in group:
            return False
        if self.is_asked_to_stand:
            self._standing_by_request = self.term + 1
            return self._stand()
        if len(self._granted & set(group)) + 1 > len(group) / 2:
            return self._stand()
        now = boot_clock()
        if now - self._round_s > 2 * self.settings.heartbeat_s:
            self._round, self._round_s, self._granted = self._round + 1, now, set()
            last = self.journal.last
            ask = {
                "type": "pre_vote",
                "term": self.term + 1,
                "last_log_index": last[1],
                "last_log_term": last[2],
                "round": self._round,
            }
            for node in group:
                if node != self.node:
                    self._around.send(node, encode(ask))
        return False

    def _stand(self) -> bool:
        self._granted, self._voters, self._round_s = set(), set(), boot_clock()
        return True

    def apply_entry(self, index: int, command: bytes) -> None:
        self._around.applied(index, command)

    def role_changed(self) -> None:
        self._since_s, self.transfer_to = boot_clock(), ""
        self._answered.clear()
        self._reset_s.clear()
        self._around.changed()

    def wants_snapshot(self, node: NodeId) -> None:
        self._around.snapshot_wanted(node)

    def send(self, node: NodeId, message: Fields) -> bool:
        """Add to upstream's messages what they lack; hold back what promises something until the next `flush`."""
        kind = message["type"]
        if kind == "next_node_idx":
            message.update(term=self.term, sent=self._sent_by_leader)
        elif kind == "append_entries":
            message["sent"] = boot_clock()
        elif kind == "request_vote":
            message["transfer"] = message["term"] == self._standing_by_request
        if kind in _PROMISES:
            self._outbox.append((node, message))
            return True
        previous = message.get("prevLogIdx")
        if previous is None:
            self.stop_sending(node)  # it needs a snapshot; upstream would say so again and again for a whole period
        if self._around.send(node, encode(message)):
            return True
        if previous is not None:
            self.set_next(node, previous + 1)
            self.stop_sending(node)
        return False

    def entries_to_send(self, first: int) -> list[LogEntry]:
        return self.journal.between(first, self.settings.message_bytes_max)

    # --- messages

    def receive(self, sender: NodeId, message: Fields) -> None:
        """Handle one of upstream's messages, or of ours about elections. Raises SwarmctlError: raft-inconsistent."""
        handlers: dict[str, Callable[[NodeId, Fields], None]] = {
            "request_vote": self._on_request_vote,
            "response_vote": self._on_vote,
            "append_entries": self._on_append,
            "next_node_idx": self._on_answer,
            "timeout_now": self.take,
            "pre_vote": self._on_pre_vote,
            "pre_vote_reply": self._on_pre_vote_reply,
        }
        handlers[message["type"]](sender, message)

    def hear(self, leader: NodeId, message: Fields, commit: int = 0) -> bool:
        """Note what every message of a leader says: that it leads in its term. False for a leader of the past.

        What a leader of the past learns from the answer makes it step down; else it could bar this node for ever.
        """
        if message["term"] < self.term:
            newer = {"next_node_idx": 0, "reset": False, "success": False, "sent": 0.0}
            self._outbox.append((leader, {"type": "next_node_idx", "term": self.term, **newer}))
            return False
        if self.leads and message["term"] == self.term:
            raise inconsistent(f"{leader} leads in term {self.term}, in which {self.node} does.")
        self.heard_s, self._sent_by_leader = boot_clock(), message["sent"]
        commit = max(min(commit, message.get("commit_index", 0)), self.committed)
        self.take(leader, {"type": "append_entries", "term": message["term"], "commit_index": commit})
        return True

    def _on_request_vote(self, sender: NodeId, message: Fields) -> None:
        """Nobody's vote is had while its leader may rely on it, unless that leader asked for the election."""
        if message["transfer"] or not self.hears_leader:
            self.take(sender, message)

    def _on_vote(self, sender: NodeId, message: Fields) -> None:
        """Upstream counts whatever comes: also of learners, and twice of one."""
        if message["term"] == self.term and sender in self.journal.group.voters and sender not in self._voters:
            self._voters.add(sender)
            self.take(sender, message)

    def _on_pre_vote(self, sender: NodeId, message: Fields) -> None:
        last = self.journal.last
        is_current = (message["last_log_term"], message["last_log_index"]) >= (last[2], last[1])
        granted = message["term"] > self.term and is_current and not self.hears_leader
        reply = {"type": "pre_vote_reply", "term": self.term, "round": message["round"], "granted": granted}
        self._around.send(sender, encode(reply))

    def _on_pre_vote_reply(self, sender: NodeId, message: Fields) -> None:
        if message["granted"]:
            if message["round"] == self._round and not self.hears_leader:
                self._granted.add(sender)
        elif message["term"] > self.term and not self.hears_leader:
            self.adopt_term(message["term"])

    def _on_append(self, sender: NodeId, message: Fields) -> None:
        """Keep what is equal to the leader's log, drop only what is known to differ, and say which is which."""
        previous, entries = message.get("prevLogIdx"), message.get("entries") or []
        for number, entry in enumerate(entries):
            if entry[1] != (previous or 0) + 1 + number or entry[0][:1] not in KINDS:
                raise NoMessage("entries that don't follow each other, or of an unknown kind")
        journal = self.journal
        if message["term"] < self.term or previous is None or previous > journal.last[1]:
            if self.hear(sender, message):
                self.answer(sender, journal.last[1] + 1, reset=previous is not None, matches=False)
            return
        previous_term = message.get("prevLogTerm")
        if previous < journal.base:  # all up to the base was committed, so it is equal
            entries = entries[journal.base - previous :]
            previous, previous_term = journal.base, journal.term_at(journal.base)
        if journal.term_at(previous) != previous_term:
            self._check_undoing(previous)
            if self.hear(sender, message):
                first = journal.first_of_term(previous, self.committed)
                self.answer(sender, first, reset=True, matches=False)
            return
        known = 0
        while known < len(entries) and previous + known < journal.last[1]:
            if journal.term_at(previous + known + 1) != entries[known][2]:
                break
            known += 1
        self._add(sender, message, (previous + known, journal.term_at(previous + known)), entries[known:])

    def _add(self, sender: NodeId, message: Fields, end: tuple[int, int], entries: list[LogEntry]) -> None:
        """Follow a leader whose log is equal up to `end`, and goes on with `entries`, none of which is here."""
        if not entries:
            if self.hear(sender, message, commit=end[0]):
                self.answer(sender, end[0] + 1, reset=False, matches=True)
            return
        if end[0] < self.journal.last[1]:
            self._check_undoing(end[0] + 1)
            self.flush()  # what was promised of the old end leaves as if it had left before
        if self.hear(sender, message):
            self.take(sender, {**message, "prevLogIdx": end[0], "prevLogTerm": end[1], "entries": entries})
            self.follow_group()

    def _check_undoing(self, index: int) -> None:
        if index <= self.committed:
            raise inconsistent(f"The leader has another entry {index} than {self.node} knows to be committed.")

    def note_answer(self, sender: NodeId, message: Fields) -> bool:
        """Take an answer for a sign of life. False if it is none to this leader in its term."""
        if message["term"] > self.term:
            self.adopt_term(message["term"])
        if message["term"] != self.term or not self.leads or sender not in self.journal.group:
            return False
        self._answered[sender] = max(message["sent"], self._answered.get(sender, 0.0))
        self.set_heard(sender, boot_clock() - self._answered[sender])
        return True

    def _on_answer(self, sender: NodeId, message: Fields) -> None:
        """Count an answer of this term; ignore resets for what was sent before the last one."""
        if not self.note_answer(sender, message):
            return
        sent, last, match = message["sent"], self.journal.last[1], self.match_of(sender)
        reset = message["reset"] and sent >= self._reset_s.get(sender, 0.0)
        before = self.next_of(sender)
        index = min(max(message["next_node_idx"], match + 1), last + 1)
        self.take(sender, {**message, "reset": reset, "next_node_idx": index})
        self.note_answer(sender, message)  # upstream has taken the arrival for the time of the answer
        self.set_heard(sender, boot_clock() - self._answered[sender])
        if reset:
            self._reset_s[sender] = boot_clock()
            self.send_entries_soon()
        else:
            self.set_next(sender, max(before, self.next_of(sender)))


def inconsistent(what: str) -> SwarmctlError:
    """Logs contradict each other: this node must not go on."""
    return SwarmctlError(
        ErrorCode.RAFT_INCONSISTENT,
        what,
        why="A disk was changed or put back from an older copy, or this is a bug.",
        hint="Keep a copy of the folder; remove this member, and let it join again under a new id.",
    )
