"""When an engine need not be asked again which tasks are up to date."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.adapters.docker.judged import Judged
from reconciler.model.actual import ActualState
from reconciler.model.objects import Kind
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import a_node, actual, observed, service_spec

UPDATED = {"PreviousSpec": service_spec(replicas=9)}


def a_task(task_id: str, state: str = "running") -> ObservedTask:
    return ObservedTask.from_api({"ID": task_id, "ServiceID": "svc", "Status": {"State": state}}, up_to_date=False)


FIRST, OLD, NEW = a_task("first"), a_task("old"), a_task("new", "new")


def seen(*, node: dict[str, Any] | None = None, raw: dict[str, Any] = UPDATED, **spec: Any) -> ActualState:
    return actual(observed(Kind.SERVICE, service_spec(**spec), object_id="svc", **raw), a_node("n1", **(node or {})))


def judged(*tasks: ObservedTask) -> Judged:
    return Judged.of(seen(), tasks, frozenset({"first", "new"}))


def test_known_tasks_of_known_specs_stay_what_the_engine_said():
    assert judged(FIRST, OLD).up_to_date(seen(), [a_task("first", "failed"), OLD]) == {"first", "new"}


def test_nothing_is_known_before_the_engine_was_asked():
    assert Judged().up_to_date(seen(), [FIRST]) is None


def test_a_new_task_is_asked_about():
    assert judged(FIRST).up_to_date(seen(), [FIRST, OLD]) is None


def test_a_task_that_was_not_allocated_is_asked_about_again():
    assert judged(FIRST, NEW).up_to_date(seen(), [FIRST, a_task("new", "pending")]) is None


def test_tasks_of_a_service_that_is_what_it_was_created_as_need_no_judge():
    assert Judged().up_to_date(seen(raw={}), [FIRST, NEW]) == {"first", "new"}
    assert Judged().up_to_date(actual(), [FIRST]) is None, "nothing is known of a service that is gone"


def test_a_service_that_the_swarm_has_taken_back_is_not_what_it_was_created_as():
    back = {"UpdateStatus": {"State": "rollback_completed"}}
    assert Judged().up_to_date(seen(raw=back), [FIRST]) is None


def test_a_service_that_is_updated_for_the_first_time_is_asked_about():
    known = Judged.of(seen(raw={}), [FIRST], frozenset({"first"}))
    assert known.up_to_date(seen(raw=UPDATED), [FIRST]) is None


@pytest.mark.parametrize(
    "changed", [{"replicas": 7}, {"node": {"Labels": {"disk": "ssd"}}}], ids=["service", "label of a node"]
)
def test_another_spec_is_asked_about(changed: dict[str, Any]):
    assert judged(FIRST, OLD).up_to_date(seen(**changed), [FIRST, OLD]) is None
