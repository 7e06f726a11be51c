"""A core whose peers are the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.log import DurableLog
from reconciler.adapters.raft_pysyncobj.core import Around, Core
from reconciler.adapters.raft_pysyncobj.journal import NORMAL, Journal
from reconciler.adapters.raft_pysyncobj.messages import decode
from reconciler.consensus.settings import ConsensusSettings
from reconciler.consensus.values import HardState, Membership, membership_entry

SETTINGS = ConsensusSettings(election_min_s=1000.0, election_max_s=2000.0, fallback_s=700.0)
"""Nothing happens by itself: elections begin when a test says so."""
MEMBERS = Membership(("a", "b", "c"), ("learner",))


class Bench:
    """Member "a" of three and a learner, with the entry that says so, of term 1. Later entries are made by hand."""

    def __init__(self, folder: Path, settings: ConsensusSettings = SETTINGS) -> None:
        self.folder = folder
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.applied: list[tuple[int, bytes]] = []
        self.wanted: list[str] = []
        self.unsynced_promises: list[str] = []
        self.durable = DurableLog(str(folder), Owner("group", "a"), create=True)
        loaded = self.durable.load()
        if not loaded[2]:
            self.durable.save_hard_state(HardState(1, ""))
            self.durable.append((membership_entry(1, 1, MEMBERS),))
            self.durable.sync()
            loaded = (HardState(1, ""), None, [membership_entry(1, 1, MEMBERS)])
        self.journal = Journal(self.durable, loaded)
        around = Around(self._send, lambda *entry: self.applied.append(entry), self.wanted.append, lambda: None)
        self.core = Core("a", settings, self.journal, around)
        self.core.heard_s -= 10_000  # no leader had this node's promise

    def again(self) -> Bench:
        """The same member after a crash: what was not synced is gone."""
        self.durable.close()
        return Bench(self.folder)

    def _send(self, node: str, frame: bytes) -> bool:
        message = decode(frame)
        assert isinstance(message, dict)
        if message["type"] in ("response_vote", "next_node_idx", "request_vote") and self.journal.is_dirty:
            self.unsynced_promises.append(message["type"])
        self.sent.append((node, message))
        return True

    def put(self, sender: str, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Hand in a message; return what the sender of it is answered."""
        self.sent.clear()
        self.core.receive(sender, {"type": kind, **fields})
        self.core.flush()
        return [message for node, message in self.sent if node == sender]

    def append(self, leader: str, term: int, previous: tuple[int, int], *terms: int, **more: Any) -> dict[str, Any]:
        """Entries of these terms behind `previous` (index, term) from a leader; return its answer."""
        index = previous[0]
        entries = [(NORMAL + f"{at}/{one}".encode(), at, one) for at, one in enumerate(terms, start=index + 1)]
        fields = {"commit_index": 0, "sent": 1.0, **more}
        answers = self.put(
            leader, "append_entries", term=term, prevLogIdx=index, prevLogTerm=previous[1], entries=entries, **fields
        )
        assert [answer["type"] for answer in answers] == ["next_node_idx"]
        return answers[0]

    def terms(self) -> list[int]:
        """The terms of the entries from index 1 on."""
        return [entry[2] for entry in self.journal[1:]]

    def stand(self) -> None:
        """Let the time without a leader be over, and win the PreVote."""
        self.core.step_down()
        self.core._SyncObj__raftElectionDeadline = 0.0
        self.core.pass_time()
        rounds = [message["round"] for node, message in self.sent if message["type"] == "pre_vote" and node == "b"]
        self.core.receive("b", {"type": "pre_vote_reply", "term": self.core.term, "round": rounds[-1], "granted": True})
        self.core._SyncObj__raftElectionDeadline = 0.0
        self.core.pass_time()

    def lead(self) -> None:
        """Be elected by b."""
        self.stand()
        self.core.receive("b", {"type": "response_vote", "term": self.core.term})
        assert self.core.leads
        self.core.pass_time()

    def answer(self, sender: str, next_index: int, **fields: Any) -> None:
        """A peer's answer to the newest message."""
        message = {"term": self.core.term, "success": True, "reset": False, "sent": boot_clock(), **fields}
        self.core.receive(sender, {"type": "next_node_idx", "next_node_idx": next_index, **message})
