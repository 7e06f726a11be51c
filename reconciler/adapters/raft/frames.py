"""What members send to each other: the messages of the core, and proposals on their way to the leader.

All of it is one tagged union in msgpack; what is no part of it is refused. Who sent a frame is not in it: the
transport knows, from the certificate. Fields may be added at the end, with a default.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from reconciler.consensus.values import Message

FORWARDED_MAX = 10_000
"""Transactions of one forward; a member sends at most Limits.entry_transactions of them."""


class Forward(msgspec.Struct, frozen=True, array_like=True, tag=32):
    """Encoded transactions that the receiver shall propose, all in one entry. The sender numbers its forwards."""

    number: int
    transactions: Annotated[list[bytes], Meta(max_length=FORWARDED_MAX)]


class Placed(msgspec.Struct, frozen=True, array_like=True, tag=33, gc=False):
    """The transactions of a forward are in the log, not yet committed.

    They are in the entry at `index`, from position `first` on; if another entry than one of `term` comes out there,
    they are lost.
    """

    number: int
    term: int
    index: int
    first: int


class NotTaken(msgspec.Struct, frozen=True, array_like=True, tag=34, gc=False):
    """A forward has no effect: the receiver doesn't lead, or has too much to do."""

    number: int


class Leave(msgspec.Struct, frozen=True, array_like=True, tag=35, gc=False):
    """The sender asks the leader to remove it. Repeated until it is told that it is removed."""


Frame: TypeAlias = Message | Forward | Placed | NotTaken | Leave

FRAME_BYTES_MAX = 5 * 1024 * 1024
"""No frame is larger: the largest is one entry of 4 MiB and what is around it."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)

encode_frame = _ENCODER.encode


def decode_frame(data: bytes) -> Frame:
    """The frame in `data`. Raises msgspec.MsgspecError or ValueError for anything else."""
    try:
        return _DECODER.decode(data)
    except RecursionError as error:  # in what a newer version may have added, which is passed over
        raise ValueError("nested too deeply") from error
