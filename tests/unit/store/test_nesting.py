"""How deep msgpack is nested, compared with what a decoder that recurses finds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.store.nesting import is_nested_beyond

EXTENSIONS = [msgspec.msgpack.Ext(5, b"\x91" * size) for size in (0, 1, 2, 3, 4, 8, 16, 17, 300, 70_000)]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.builds(msgspec.msgpack.Ext, st.integers(0, 100), st.binary(max_size=40))
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=3), inner, max_size=40)
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(one) for one in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(one) for one in value), default=0)
    return 0


@given(VALUES, st.integers(0, 8))
def test_it_agrees_with_a_decoder(value: Any, levels: int) -> None:
    assert is_nested_beyond(msgspec.msgpack.encode(value), levels) == (depth(value) > levels)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_it_takes_any_bytes(data: bytes, levels: int) -> None:
    is_nested_beyond(data, levels)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 70_000,
        b"\x91" * 70_000,
        list(range(70_000)),
        {str(n): [n] for n in range(70_000)},
        ["x" * 40] * 20,
        EXTENSIONS,
    ],
)
def test_long_values_are_passed_over(value: Any) -> None:
    deep: Any = [value, *[[]] * 70]
    for _ in range(10):
        deep = [deep]
    exact = depth(deep)
    assert not is_nested_beyond(msgspec.msgpack.encode(deep), exact)
    assert is_nested_beyond(msgspec.msgpack.encode(deep), exact - 1)
