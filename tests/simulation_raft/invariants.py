"""What must hold after every step, whatever fails. Each check costs a constant time, so all of them always run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.consensus.outputs import Role
from reconciler.consensus.values import Entry, EntryKind
from tests.simulation_raft.forwarding import is_forwarded
from tests.simulation_raft.violation import Violation

if TYPE_CHECKING:
    from tests.simulation_raft.node import SimulatedNode


class Invariants:
    """The memory of an all-knowing observer."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        self.committed: dict[int, Entry] = {}
        self.newest = 0
        self.newest_term = 0  # in which it was committed, or a later one
        self.places: dict[bytes, int] = {}  # where each command was committed
        self.void: set[bytes] = set()  # commands that were reported as sure to have no effect
        self.acknowledged: dict[bytes, int] = {}
        self.effects: dict[str, int] = {}  # where each forwarded write took effect
        self.outcomes: dict[str, int] = {}  # where their callers were told that it did
        self.without_effect: set[str] = set()  # forwarded writes that were reported as sure to have none

    def leader(self, node: SimulatedNode, others: list[SimulatedNode]) -> None:
        """Election safety, leader completeness, and: nobody else still acts as a leader."""
        state = node.core._state
        known = self.leaders.setdefault(state.term, node.name)
        if known != node.name:
            raise Violation(f"election safety: {known} and {node.name} both lead in term {state.term}")
        # Late votes may elect somebody in an old term, when a newer one has committed more: harmless, it can't commit.
        if self.newest > state.log.base_index and self.newest_term <= state.term:
            wanted = self.committed[self.newest]
            if state.log.term_at(wanted.index) != wanted.term:
                raise Violation(f"leader completeness: {node.name} lacks committed entry {wanted.index}")
        for other in others:
            if other is not node and other.is_running and other.core._state.role is Role.LEADER:
                raise Violation(f"two leaders act: {node.name} of {state.term}, {other.name} not yet stepped down")

    def appended(self, node: SimulatedNode, entries: tuple[Entry, ...]) -> None:
        """Log matching, by induction: the same index and term have the same content and the same predecessor."""
        log = node.core._state.log
        before = log.term_at(entries[0].index - 1)
        for entry in entries:
            known = self.entries.setdefault((entry.index, entry.term), (entry, before or 0))
            if known[0].data != entry.data or (before is not None and known[1] != before):
                raise Violation(f"log matching: {node.name} has another entry {entry.index} of term {entry.term}")
            before = entry.term

    def applied(self, node: SimulatedNode, entry: Entry) -> None:
        """State machine safety, no phantoms, nothing twice."""
        known = self.committed.get(entry.index)
        if known is not None:
            if known.term != entry.term or known.data != entry.data:
                raise Violation(f"state machine safety: {node.name} applies another entry {entry.index}")
            return
        self.committed[entry.index] = entry
        self.newest, self.newest_term = entry.index, node.core._state.term
        if entry.kind is EntryKind.NORMAL and not is_forwarded(entry):
            if entry.data in self.void:
                raise Violation(f"phantom: {entry.data!r} was reported to have failed for sure")
            if self.places.setdefault(entry.data, entry.index) != entry.index:
                raise Violation(f"twice: {entry.data!r} at {self.places[entry.data]} and {entry.index}")

    def installed(self, index: int, term: int) -> None:
        known = self.committed.get(index)
        if known is not None and known.term != term:
            raise Violation(f"state machine safety: a snapshot with another entry {index}")

    def not_applied(self, data: bytes) -> None:
        """A command was refused, or its place was taken by another."""
        if data in self.places:
            raise Violation(f"phantom: {data!r} is committed and was reported to have failed for sure")
        self.void.add(data)

    def took_effect(self, value: str, index: int) -> None:
        """A forwarded write took effect, on some node: once only, however often it was sent."""
        if self.effects.setdefault(value, index) != index:
            raise Violation(f"twice: {value!r} took effect at {self.effects[value]} and at {index}")
        if value in self.without_effect:
            raise Violation(f"phantom: {value!r} was reported to have failed for sure")

    def stepped(self, node: SimulatedNode, nodes: dict[str, SimulatedNode]) -> None:
        """Commit index and term only grow while a node runs; nothing is applied beyond the commit or our disk.

        What a leader commits is synced on a majority of voters at that moment.
        """
        state = node.core._state
        if state.commit < node.commit_seen or state.term < node.term_seen:
            raise Violation(
                f"{node.name}: commit {node.commit_seen} -> {state.commit}, term {node.term_seen} -> {state.term}"
            )
        if not state.handed <= state.commit <= state.log.last_index or state.persisted > state.log.last_index:
            raise Violation(f"{node.name}: handed {state.handed}, commit {state.commit}, last {state.log.last_index}")
        if state.commit > node.commit_seen and state.role is Role.LEADER:
            self._durable(node, nodes)
        node.commit_seen, node.term_seen = state.commit, state.term

    def _durable(self, node: SimulatedNode, nodes: dict[str, SimulatedNode]) -> None:
        state = node.core._state
        voters, term = state.log.members.voters, state.log.term_at(state.commit) or 0
        durable = sum(nodes[name].disk.has(state.commit, term) for name in voters)
        if durable <= len(voters) // 2:
            raise Violation(f"durability: entry {state.commit} committed on {durable} disks of {len(voters)} voters")
