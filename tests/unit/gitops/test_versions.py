"""Ranges of versions over tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.gitops.versions import highest, parse_version
from reconciler.model.errors import ErrorCode, SwarmctlError

TAGS = (
    *("v0.2.3", "v0.2.9", "v0.3.0", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-rc.2", "v1.0.0-rc.10", "v1.0.0"),
    *("1.2.0", "v1.2.10", "v1.3.0-beta", "v2.0.0", "v2.1.0-rc.1", "latest", "v3", "release-9.9.9", "v01.2.3"),
)


@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        ("*", "v2.0.0"),
        (">=1.0.0", "v2.0.0"),
        (">=1.0.0 <2.0.0", "v1.2.10"),
        (">=1.0.0, <2.0.0", "v1.2.10"),
        ("^0.2.3", "v0.2.9"),
        ("^1", "v1.2.10"),
        ("~1.2", "v1.2.10"),
        ("~1.2.3", "v1.2.10"),
        ("1.x", "v1.2.10"),
        ("1", "v1.2.10"),
        ("1.2.0", "1.2.0"),
        ("v1.0.0", "v1.0.0"),
        ("1.0.0 - 1.2.0", "1.2.0"),
        (">1.2", "v2.0.0"),
        ("<=1.2", "v1.2.10"),
        ("<1.2", "v1.0.0"),
        ("!=2.0.0", "v1.2.10"),
        ("^0.2 || ^2", "v2.0.0"),
        (">=1.0.0-alpha <1.0.0", "v1.0.0-rc.10"),
        (">=1.0.0-0 <2", "v1.3.0-beta"),
        ("~1.3.0-alpha", "v1.3.0-beta"),
        (">=2.1.0-rc.0", "v2.1.0-rc.1"),
        (">9", ""),
        ("=0.2.3", "v0.2.3"),
    ],
)
def test_the_highest_tag_in_a_range(range_, expected):
    assert highest(range_, TAGS) == expected
    assert highest(range_, reversed(TAGS)) == expected


@pytest.mark.parametrize(
    "range_", ["", " ", ">=", "abc", "1.2.3.4", ">=1 ||", "1 <", ">>1", "^", "1" * 300, "--upload"]
)
def test_a_range_that_makes_no_sense_is_told(range_):
    with pytest.raises(SwarmctlError) as caught:
        highest(range_, TAGS)
    assert caught.value.code is ErrorCode.SOURCE_INVALID


versions = st.tuples(*(st.integers(0, 20) for _ in range(3))).map(lambda three: "v{}.{}.{}".format(*three))


@given(st.lists(versions, min_size=1), versions)
def test_a_lower_and_an_upper_bound_take_the_tags_apart(tags, middle):
    def key(tag):
        version = parse_version(tag)
        assert version is not None
        return version.key()

    below, above = highest(f"<{middle}", tags), highest(f">={middle}", tags)
    assert below == max((tag for tag in tags if key(tag) < key(middle)), key=key, default="")
    assert above == max((tag for tag in tags if key(tag) >= key(middle)), key=key, default="")
