"""When an engine need not be asked again which tasks are up to date."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.adapters.docker.judged import Judged
from reconciler.model.actual import ActualState
from reconciler.model.objects import Kind
from tests.unit.planning.builders import a_node, actual, observed, service_spec

FIRST = {"ID": "first", "Status": {"State": "running"}}
OLD = {"ID": "old", "Status": {"State": "running"}}
NEW = {"ID": "new", "Status": {"State": "new"}}


def seen(*, node: dict[str, Any] | None = None, **spec: Any) -> ActualState:
    return actual(observed(Kind.SERVICE, service_spec(**spec), object_id="svc"), a_node("n1", **(node or {})))


def judged(*tasks: dict[str, Any]) -> Judged:
    return Judged.of(seen(), tasks, frozenset({"first", "new"}))


def test_known_tasks_of_known_specs_stay_what_the_engine_said():
    ended = {**FIRST, "Status": {"State": "failed"}}
    assert judged(FIRST, OLD).up_to_date(seen(), [ended, OLD]) == {"first", "new"}


def test_nothing_is_known_before_the_engine_was_asked():
    assert Judged().up_to_date(seen(), []) is None


def test_a_new_task_is_asked_about():
    assert judged(FIRST).up_to_date(seen(), [FIRST, OLD]) is None


def test_a_task_that_was_not_allocated_is_asked_about_again():
    assert judged(FIRST, NEW).up_to_date(seen(), [FIRST, {**NEW, "Status": {"State": "pending"}}]) is None


@pytest.mark.parametrize(
    "changed", [{"replicas": 7}, {"node": {"Labels": {"disk": "ssd"}}}], ids=["service", "label of a node"]
)
def test_another_spec_is_asked_about(changed: dict[str, Any]):
    assert judged(FIRST, OLD).up_to_date(seen(**changed), [FIRST, OLD]) is None
