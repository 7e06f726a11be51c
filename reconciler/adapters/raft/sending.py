"""Frames on their way out; news that can wait a moment does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from reconciler.adapters.raft.frames import Frame, encode_frame
from reconciler.adapters.raft.ports import Transport
from reconciler.consensus.outputs import Envelope
from reconciler.consensus.values import Append, NodeId


class Sender:
    """Encodes and sends. Nothing here is sure to arrive."""

    def __init__(self, transport: Transport, news_s: float) -> None:
        """`news_s` is how long the bare news of a commit waits for entries or a heartbeat that tell it too."""
        self._transport = transport
        self._news_s = news_s
        self._loop = asyncio.get_running_loop()
        self._news: dict[NodeId, Append] = {}
        self._hurried: set[NodeId] = set()
        self._is_due = False

    def send(self, to: NodeId, frame: Frame) -> bool:
        """Send a frame at once; False if it was dropped."""
        return self._transport.send(to, encode_frame(frame))

    def send_all(self, envelopes: Sequence[Envelope]) -> None:
        """Send the core's messages."""
        for envelope in envelopes:
            to, message = envelope.to, envelope.message
            if type(message) is Append:
                if not message.round and not message.entries and to not in self._hurried:
                    self._hold_back(to, message)
                    continue
                self._news.pop(to, None)
            self._transport.send(to, encode_frame(message))

    def hurry(self, to: NodeId) -> None:
        """A member has callers that wait for news of commits."""
        self._hurried.add(to)

    def calm(self) -> None:
        """Hurry for nobody any more, until told again."""
        self._hurried.clear()

    def close(self) -> None:
        """Send nothing any more of what was held back."""
        self._news.clear()

    def _hold_back(self, to: NodeId, news: Append) -> None:
        if not self._is_due:  # one that waits already is for these as well, though earlier than need be
            self._is_due = True
            self._loop.call_later(self._news_s, self._send_news)
        self._news[to] = news

    def _send_news(self) -> None:
        self._is_due = False
        for to, news in self._news.items():
            self._transport.send(to, encode_frame(news))
        self._news.clear()
