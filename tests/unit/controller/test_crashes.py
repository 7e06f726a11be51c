"""What crashes in a loop is failing, though each look by itself finds it running, or on its way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from reconciler.controller.crashes import CRASH_WINDOW_S, CRASHES_MAX, assessed
from reconciler.model.objects import Kind
from reconciler.model.progress import Verdict
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import actual, observed, service_spec

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_task(number: int, state: str, ago_s: float, *, slot: int = 1, up_to_date: bool = True) -> ObservedTask:
    at = (NOW - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%S.000000001Z")
    error = "task: non-zero exit (3)" if state == "failed" else ""
    status = {"State": state, "Err": error, "Timestamp": at}
    desired = "running" if state == "running" else "shutdown"
    raw = {"ID": f"t{number}", "ServiceID": "svc", "Slot": slot, "DesiredState": desired, "Status": status}
    return ObservedTask.from_api(raw, up_to_date=up_to_date)


def verdict_of(*tasks: ObservedTask) -> Verdict:
    service = observed(Kind.SERVICE, service_spec(replicas=1), object_id="svc")
    return assessed(replace(actual(service, tasks=tasks), observed_at=NOW))[0].verdict


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ([{"ago_s": 7.0 * n} for n in range(CRASHES_MAX)], Verdict.FAILING),
        ([{"ago_s": 7.0 * n} for n in range(CRASHES_MAX - 1)], Verdict.CONVERGED),
        ([{"ago_s": CRASH_WINDOW_S + 7.0 * n} for n in range(CRASHES_MAX)], Verdict.CONVERGED),
        ([{"ago_s": 7.0 * n, "slot": n} for n in range(CRASHES_MAX)], Verdict.CONVERGED),
        ([{"ago_s": 7.0 * n, "up_to_date": False} for n in range(CRASHES_MAX)], Verdict.CONVERGED),
    ],
    ids=["in a loop", "twice", "long ago", "each slot once", "of an older spec"],
)
def test_a_slot_that_failed_again_and_again_of_late_makes_its_service_fail(failed, verdict):
    ended = [a_task(number, "failed", **fields) for number, fields in enumerate(failed)]
    assert verdict_of(a_task(99, "running", 1), *ended) is verdict
