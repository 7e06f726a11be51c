"""A group of managers in virtual time. One seed decides everything that happens in it."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from reconciler.consensus.membership import bootstrap
from reconciler.consensus.outputs import Role
from reconciler.consensus.settings import ConsensusSettings
from tests.simulation_raft.clients import Clients
from tests.simulation_raft.faults import Faults
from tests.simulation_raft.forwarders import Forwarders
from tests.simulation_raft.invariants import Invariants
from tests.simulation_raft.network import Network
from tests.simulation_raft.node import SimulatedNode
from tests.simulation_raft.violation import Violation

FAULTS_S = 8.0
FORWARDING_SHARE = 0.25
DOORS_SHARE = 0.5
FORWARDING_CHUNK_BYTES = 4_000
"""The state is larger where members forward; in pieces of a few bytes no snapshot would arrive before the next."""
HEALING_MAX_S = 12.0
"""Virtual seconds within which a healed group must have committed something new, everywhere."""


class World:
    def __init__(self, seed: int, *, forwarding: bool | None = None) -> None:
        """`forwarding`: whether members forward what they are asked for to the leader; by default the seed says."""
        self.dice = dice = random.Random(seed)
        self.chance = random.Random(f"{seed} beside")  # so that a seed keeps its story where this decides nothing
        self.forwarding = self.chance.random() < FORWARDING_SHARE if forwarding is None else forwarding
        self.refuse_share = self.chance.choice((0.0, 0.0, 0.0, 0.4))
        """Of received snapshots, those that can't be used."""
        self.doors = random.Random(f"{seed} doors").random() < DOORS_SHARE
        """Whether members let in only whom they know."""
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        # Small limits, so that they are met.
        self.settings = ConsensusSettings(
            message_bytes_max=dice.choice((300, 1000, 10_000)),
            inflight_messages_max=dice.choice((2, 8)),
            committed_bytes_max=dice.choice((300, 5000)),
            snapshot_chunk_bytes=dice.choice((4, 16, 200)),
            uncommitted_bytes_max=dice.choice((2000, 100_000)),
            log_bytes_max=dice.choice((25_000, 100_000)),
            catch_up_entries=dice.choice((0, 5)),
        )
        if self.forwarding:
            self.settings = msgspec.structs.replace(self.settings, snapshot_chunk_bytes=FORWARDING_CHUNK_BYTES)
        self.peace_s = dice.choice((0.15, 0.4, 1.0))
        self.think_s = dice.choice((0.05, 0.2, 0.6, 3.0))
        self.slow_disks = dice.random() < 0.15
        self.compact_entries, self.keep_entries = dice.choice(((5, 2), (12, 0), (40, 10)))
        self.crashes_allowed = True
        self.invariants = Invariants()
        self.network = Network(self)
        self.clients = Clients(self)
        self.forwarders = Forwarders(self)
        self.faults = Faults(self)
        self.nodes: dict[str, SimulatedNode] = {}
        self.everybody: list[str] = []
        self.elections = self.installs = self.refused = self.messages = 0
        names = tuple(f"n{number}" for number in range(1, dice.choice((1, 2, 3, 3, 3, 3, 4, 5)) + 1))
        for name in names:
            node = self._make(name)
            hard_state, entry = bootstrap(names)
            node.disk.hard_state, node.disk.entries = hard_state, [entry]
            self.invariants.entries[1, 1] = (entry, 0)
        for node in self.all_nodes:
            node.start()

    def _make(self, name: str) -> SimulatedNode:
        node = self.nodes[name] = SimulatedNode(self, name)
        self.everybody.append(name)
        self.all_nodes = list(self.nodes.values())
        return node

    def add_node(self, name: str) -> None:
        self._make(name).start()

    def at(self, when: float, run: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), run, arguments))

    def sync_s(self, node: SimulatedNode) -> float:
        if node.disk.slow:
            return self.dice.uniform(0.1, 1.5)
        return self.dice.uniform(0.02, 0.3) if self.slow_disks else 0.0004 + self.dice.random() * 0.002

    def run_until(self, end: float) -> None:
        events, pop = self._events, heapq.heappop
        while events and events[0][0] <= end:
            self.now, _, run, arguments = pop(events)
            run(*arguments)
        self.now = end

    def run(self) -> None:
        """The whole story of a seed. Raises Violation."""
        self.clients.start()
        if self.forwarding:
            self.forwarders.start()
        self.faults.start()
        self.run_until(FAULTS_S)
        self.faults.heal()
        self._recover()
        self.clients.check()
        self.forwarders.check()

    def _recover(self) -> None:
        """Liveness: within HEALING_MAX_S a new write is acknowledged, and all members are equal."""
        self.think_s = 0.05
        deadline = self.now + HEALING_MAX_S
        for clients in (self.clients, self.forwarders)[: 1 + self.forwarding]:
            wanted = clients.acknowledged + 3
            while self.now < deadline and clients.acknowledged < wanted:
                self.run_until(self.now + 0.25)
            if clients.acknowledged < wanted:
                raise Violation(f"liveness: nothing new was committed within {HEALING_MAX_S} s")
        self.clients.active = self.forwarders.active = False
        while self.now < deadline and not self._are_equal():
            self.run_until(self.now + 0.25)
        if not self._are_equal():
            raise Violation(f"liveness: members not equal after {HEALING_MAX_S} s: {self.describe()}")

    def _are_equal(self) -> bool:
        leader = self.faults.leader()
        if leader is None or leader.core._state.commit < leader.core._state.log.last_index:
            return False
        members = [self.nodes[name] for name in leader.core._state.log.members.all]
        return all(node.applied == leader.applied and node.all_values() == leader.all_values() for node in members)

    def describe(self) -> list[str]:
        return [
            f"{node.name}: up={node.up} {Role(node.core._state.role).name} term={node.core._state.term}"
            f" commit={node.core._state.commit} last={node.core._state.log.last_index} applied={node.applied}"
            for node in self.all_nodes
        ]
