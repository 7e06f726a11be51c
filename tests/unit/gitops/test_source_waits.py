"""When a source is looked at again: by its interval, and less and less often while it fails by what may pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.gitops.patience import JITTER
from reconciler.gitops.sources import LOOK_MAX_S, next_look, next_status
from reconciler.model.errors import ErrorCode
from reconciler.model.sources import SourceFault, SourceRevision, SourceSpec, SourceStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AWAY = SourceFault(ErrorCode.SOURCE_UNREACHABLE, "It can't be reached.", passing=True)
REFUSED = SourceFault(ErrorCode.SIGNATURE_MISSING, "It is not signed.", commit="b" * 40)
GOOD = SourceRevision("a" * 40, "tree", "refs/heads/main", "Ada", "one", NOW)


def spec(interval_s: float, name: str = "infra") -> SourceSpec:
    return SourceSpec(name, "/served/infra.git", interval_s=interval_s)


def wait_s(status: SourceStatus, interval_s: float, name: str = "infra", at: datetime = NOW) -> float:
    return (next_look(status, spec(interval_s, name), at) - at).total_seconds()


@given(st.floats(0.1, 86_400), st.integers(0, 10**6), st.sampled_from([None, REFUSED]))
def test_a_source_is_looked_at_by_its_interval_more_or_less(
    interval_s: float, offset_s: int, fault: SourceFault | None
) -> None:
    waited = wait_s(SourceStatus("infra", GOOD, fault), interval_s, at=NOW + timedelta(seconds=offset_s))
    assert interval_s * (1 - JITTER) - 0.001 <= waited <= interval_s * (1 + JITTER) + 0.001


def test_sources_of_one_interval_are_not_all_looked_at_at_once() -> None:
    waits = [wait_s(SourceStatus(name, GOOD), 60.0, name) for name in map(str, range(100))]
    assert len({round(waited) for waited in waits}) >= 10


def test_controllers_that_look_in_the_same_second_do_not_look_in_step() -> None:
    status, lookers = SourceStatus("infra", GOOD), [f"controller {number}" for number in range(100)]
    assert len({next_look(status, spec(60.0), NOW, looker) for looker in lookers}) >= 90
    away = next_status(status, AWAY, NOW)
    assert len({next_look(away, spec(60.0), NOW, looker) for looker in lookers}) >= 90


def test_a_remote_that_is_away_is_asked_less_and_less_often_and_by_its_interval_when_it_is_back() -> None:
    status, waits = SourceStatus("infra", GOOD), []
    for _ in range(12):
        status = next_status(status, AWAY, NOW)
        waits.append(wait_s(status, 30.0))
    doubled = [min(30.0 * 2**failures, LOOK_MAX_S) for failures in range(12)]
    for waited, expected in zip(waits, doubled, strict=True):
        assert abs(waited - expected) <= expected * JITTER + 0.001
    assert status.in_force == GOOD
    back = next_status(status, replace(GOOD, commit="c" * 40), NOW)
    assert (back.fault, back.failures, wait_s(back, 30.0) <= 33.0) == (None, 0, True)


def test_an_interval_longer_than_any_wait_is_kept() -> None:
    status = next_status(SourceStatus("infra", GOOD), AWAY, NOW)
    assert wait_s(status, 4 * LOOK_MAX_S) >= 4 * LOOK_MAX_S * (1 - JITTER)
