"""A plan for some stacks only touches nothing else."""

from __future__ import annotations

import pytest

from reconciler.model.desired import Policy, Stack
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    carried_out,
    desired,
    network_spec,
    planned,
    service_spec,
    wanted,
    wanted_node,
)

STACKS = (Stack("web", "web.yaml", ("db",), HERE), Stack("db", "db.yaml", (), HERE, atomic=True))


def service(stack, name):
    spec = service_spec(f"{stack}_{name}", stack=stack)
    spec["TaskTemplate"].pop("Networks")
    return wanted(Kind.SERVICE, spec, stack=stack)


def two_stacks(*more, **fields):
    shared = wanted(Kind.NETWORK, network_spec("shared", stack=None), stack=None)
    nodes = (wanted_node("n1", availability="drain"),)
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 9}}
    objects = (shared, service("web", "api"), service("db", "main"), *more)
    return desired(*objects, **({"stacks": STACKS, "nodes": nodes, "settings": settings} | fields))


def only(*stacks):
    return PlanOptions(stacks=frozenset(stacks))


def test_only_the_objects_of_the_stack_are_written_and_nobody_waits_for_what_is_not_chosen():
    made = planned(two_stacks(), actual(a_node("n1")), only("web"))
    assert [(action.id, action.after) for action in made.actions] == [("service.web_api", ())]
    assert made.services == ("web_api",)
    assert made.atomic_stacks == ()


def test_two_chosen_stacks_keep_their_order():
    made = planned(two_stacks(), actual(a_node("n1")), only("web", "db"))
    assert [(action.id, action.after) for action in made.actions] == [
        ("service.db_main", ()),
        ("service.web_api", ("service.db_main",)),
    ]
    assert made.atomic_stacks == ("db",)


def test_only_what_belonged_to_the_stack_is_pruned():
    policy = Policy(prune=True, max_delete_percent=60)
    old = two_stacks(service("web", "old"), service("db", "old"), nodes=(), settings={}, policy=policy)
    cluster = carried_out(planned(old, actual()), actual())
    made = planned(two_stacks(policy=policy), cluster, only("web"))
    assert [(action.type, action.id) for action in made.actions] == [(ActionType.DELETE, "service.web_old")]


def test_an_unknown_stack_is_told_with_the_known_ones():
    with pytest.raises(SwarmctlError) as caught:
        planned(two_stacks(), actual(), only("wep"))
    (problem,) = caught.value.problems
    assert problem.code is ErrorCode.USAGE
    assert "no stack wep" in problem.what
    assert "db, web" in problem.why
    assert "Did you mean web?" in problem.hint


def test_a_repository_without_stacks_says_so():
    with pytest.raises(SwarmctlError, match="no stack web"):
        planned(desired(stacks=()), actual(), only("web"))
