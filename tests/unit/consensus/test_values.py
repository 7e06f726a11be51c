"""Messages as they arrive: what is none is refused before the core sees it."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.consensus.values import Append, TimeoutNow, VoteRequest, decode_message, encode_message

GREATEST = 1 << 62


@pytest.mark.parametrize("number", [-1, GREATEST + 1, (1 << 64) - 1])
def test_a_term_that_leaves_no_room_for_the_next_is_no_term(number: int):
    for message in (
        TimeoutNow(number),
        VoteRequest(number, 1, 1),
        Append(1, number, 1, 0, 1),
        Append(number, 1, 1, 0, 1),
    ):
        with pytest.raises(msgspec.ValidationError):
            decode_message(encode_message(message))


def test_the_greatest_term_is_one():
    assert decode_message(encode_message(TimeoutNow(GREATEST))) == TimeoutNow(GREATEST)
