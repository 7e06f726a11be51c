"""A plan for some stacks only touches nothing else."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.model.desired import ExternalReference, Policy, Stack
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    carried_out,
    content_spec,
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


def without_db(**fields):
    """The two stacks as they were deployed, and the repository once it declares only web."""
    kept = {"nodes": (), "settings": {}} | fields
    cluster = carried_out(planned(two_stacks(service("db", "spare"), nodes=(), settings={}), actual()), actual())
    head = two_stacks(stacks=(Stack("web", "web.yaml", (), HERE),), **kept)
    return replace(head, objects=head.objects[:2]), cluster


def test_a_stack_that_is_declared_no_more_is_pruned_by_its_name():
    head, cluster = without_db()
    made = planned(head, cluster, only("db"))
    assert [(action.type, action.id) for action in made.actions] == [
        (ActionType.DELETE, "service.db_main"),
        (ActionType.DELETE, "service.db_spare"),
    ]
    assert made.inventory == {"network.shared", "service.web_api"}


def test_the_guards_of_pruning_hold_for_it_as_they_do_for_a_plan_of_everything():
    head, cluster = without_db(policy=Policy(prune=False))
    kept = planned(head, cluster, only("db"))
    assert kept.is_empty
    assert [note.code for note in kept.notes] == [ErrorCode.NOT_PRUNED]

    head, cluster = without_db(policy=Policy(prune=True, max_delete_percent=40))
    (blocked,) = planned(head, cluster, only("db")).blocked
    assert "2 of 4 owned objects" in blocked.problem.what
    assert [one.problem for one in planned(head, cluster).blocked] == [blocked.problem]

    emptied = replace(head, objects=head.objects[:1], stacks=(), policy=Policy(prune=True, max_delete_percent=100))
    (blocked,) = planned(emptied, cluster, only("db")).blocked
    assert "no service at all" in blocked.problem.why


def test_a_config_of_another_stack_that_was_rotated_is_still_the_one_to_use():
    """The user's own plan must not put it back to the first version, nor miss that version once it is gone."""

    def state(content):
        spec = service_spec("web_site", Configs=[{"File": {"Name": "/a.ini"}, "ConfigName": "db_app"}])
        spec["TaskTemplate"].pop("Networks")
        objects = (
            wanted(Kind.CONFIG, content_spec("db_app", content, stack="db"), stack="db"),
            wanted(Kind.SERVICE, spec),
        )
        outside = ExternalReference(Kind.CONFIG, "db_app", "web", HERE)
        policy = Policy(prune=True, keep_versions=0)
        return desired(*objects, stacks=STACKS, externals=(outside,), policy=policy)

    cluster = actual()
    for number in "123":
        cluster = carried_out(planned(state(number), cluster), cluster, at=f"2026-01-0{number}T00:00:00Z")
    assert [found.name for found in cluster.configs if found.name == "db_app"] == []
    only_web = PlanOptions(stacks=frozenset({"web"}))
    for content in "34":  # as it is; and where the other stack's rotation is still to come
        made = planned(state(content), cluster, only_web)
        assert (made.actions, made.blocked) == ((), ())
        baseline = PlanOptions(stacks=frozenset({"web"}), baseline=state("3"))
        assert planned(state(content), cluster, baseline).is_empty


def test_former_versions_of_other_stacks_do_not_make_the_limit_laxer():
    def release(content):
        config = wanted(Kind.CONFIG, content_spec("web_app", content))
        return replace(head, objects=(*head.objects, config))

    head, cluster = without_db(policy=Policy(prune=True, max_delete_percent=39))
    for content in "123":
        made = planned(release(content), cluster, only("web"))
        cluster = carried_out(made, cluster, at=f"2026-01-0{content}T00:00:00Z")
    assert len(cluster.configs) == 3
    (blocked,) = planned(release("3"), cluster, only("db")).blocked
    assert "2 of 5 owned objects" in blocked.problem.what


def test_only_what_is_ours_makes_a_stack_that_can_be_chosen():
    head, cluster = without_db()
    with pytest.raises(SwarmctlError, match="no stack db"):
        planned(replace(head, cluster="staging"), cluster, only("db"))
    with pytest.raises(SwarmctlError) as caught:
        planned(head, cluster, only("dbs"))
    (problem,) = caught.value.problems
    assert "still in the swarm: db" in problem.why
    assert "Did you mean db?" in problem.hint


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


def test_what_a_stack_that_was_not_chosen_declares_now_is_not_pruned_with_the_one_that_had_it():
    def declared_by(stack):
        return two_stacks(wanted(Kind.CONFIG, content_spec("shared", "x", stack=stack), stack=stack), nodes=())

    cluster = carried_out(planned(declared_by("web"), actual()), actual())
    assert planned(declared_by("db"), cluster, only("web")).is_empty
    (action,) = planned(declared_by("db"), cluster, only("db")).actions
    assert (action.id, action.type) == ("config.shared", ActionType.UPDATE)
