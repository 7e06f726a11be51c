"""A network that loses, doubles, delays and reorders messages, and is cut in either direction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.adapters.raft.frames import decode_frame, encode_frame
from reconciler.consensus.outputs import Envelope
from tests.simulation_raft.doors import are_linked

if TYPE_CHECKING:
    from tests.simulation_raft.node import SimulatedNode
    from tests.simulation_raft.world import World

DELAY_MIN_S = 0.0005
DELAY_MAX_S = 0.003
CODEC_SHARE = 0.02  # of messages that also go through bytes and back


class Network:
    def __init__(self, world: World) -> None:
        self.world = world
        self.cut: set[tuple[str, str]] = set()
        self.loss = 0.0
        self.doubling = 0.0
        self.lateness = 0.0
        """Shares of messages that are lost, doubled, and up to `late_s` late."""
        self.late_s = 0.3

    def calm(self) -> None:
        self.cut.clear()
        self.loss = self.doubling = self.lateness = 0.0

    def send(self, sender: SimulatedNode, envelopes: Iterable[Envelope]) -> None:
        world, random = self.world, self.world.dice.random
        for envelope in envelopes:
            target = world.nodes.get(envelope.to)
            if target is None or (self.cut and (sender.name, envelope.to) in self.cut):
                continue
            if world.doors and not are_linked(sender, target):
                continue
            message = envelope.message
            if random() < CODEC_SHARE:
                message = decode_frame(encode_frame(message))  # type: ignore[assignment]
            copies = 1
            if self.loss and random() < self.loss:
                continue
            if self.doubling and random() < self.doubling:
                copies = 2
            for _ in range(copies):
                delay = DELAY_MIN_S + random() * (DELAY_MAX_S - DELAY_MIN_S)
                if self.lateness and random() < self.lateness:
                    delay += random() * self.late_s
                world.messages += 1
                world.at(world.now + delay, target.deliver, sender.name, message)
