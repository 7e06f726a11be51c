"""Pruning: only what is ours, only when asked, never most of it by mistake."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.desired import ExternalReference, Policy, Stack
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, TaskEffect
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    carried_out,
    content_spec,
    desired,
    network_spec,
    observed,
    planned,
    running_tasks,
    running_web,
    service_spec,
    wanted,
)

EVERYTHING = Policy(prune=True, max_delete_percent=100)


def some_service():
    spec = service_spec("web_other")
    spec["TaskTemplate"].pop("Networks")
    return wanted(Kind.SERVICE, spec)


def test_what_is_no_longer_declared_goes_users_first():
    made = planned(desired(some_service(), policy=EVERYTHING), actual(*running_web()))
    deletes = [action for action in made.actions if action.type is ActionType.DELETE]
    assert [action.id for action in deletes] == ["service.web_api", "network.web_default"]
    assert "service.web_api" in deletes[1].after


def test_what_another_repository_or_docker_deployed_stays():
    for owner in (None, "staging"):
        made = planned(desired(some_service(), policy=EVERYTHING), actual(*running_web(owner=owner)))
        assert [action.id for action in made.actions] == ["service.web_other"]


def test_without_the_policy_it_is_told_and_kept():
    made = planned(desired(some_service(), policy=Policy()), actual(*running_web()))
    assert made.count(ActionType.DELETE) == 0
    assert "service web_api" in made.notes[0].what


def test_a_lone_stack_file_prunes_nothing():
    made = planned(desired(some_service(), cluster="", policy=EVERYTHING), actual(*running_web(owner="")))
    assert made.count(ActionType.DELETE) == 0


def test_an_empty_repository_deletes_nothing_whatever_the_limit():
    made = planned(desired(policy=EVERYTHING), actual(*running_web()))
    assert made.actions == ()
    assert {blocked.code for blocked in made.blocked} == {ErrorCode.PLAN_BLOCKED}


def test_more_than_the_limit_is_blocked_whole():
    made = planned(desired(some_service(), policy=Policy(prune=True)), actual(*running_web()))
    assert made.count(ActionType.DELETE) == 0
    assert [blocked.id for blocked in made.blocked] == ["prune"]
    assert "service web_api, network web_default" in made.blocked[0].problem.what
    assert "100 %" in made.blocked[0].problem.why


def test_a_network_that_a_foreign_service_uses_stays():
    network, service = running_web()
    service.spec["Labels"].pop("io.swarmctl.owner")
    spare = observed(Kind.NETWORK, network_spec("web_spare", Labels={**network.labels}))
    made = planned(desired(some_service(), policy=EVERYTHING), actual(network, service, spare))
    assert [action.name for action in made.actions if action.type is ActionType.DELETE] == ["web_spare"]


def stack_of(name, *services, **fields):
    """A stack with its network, and services on it."""
    network = wanted(Kind.NETWORK, network_spec(f"{name}_default", stack=name), stack=name)
    specs = [service_spec(f"{name}_{service}", stack=name) for service in services]
    return (network, *[wanted(Kind.SERVICE, spec, stack=name, **fields) for spec in specs])


def stacks(*names):
    return tuple(Stack(name, f"{name}.yaml", (), HERE) for name in names)


def deployed(*objects, **fields):
    state = desired(*objects, **fields)
    return carried_out(planned(state, actual()), actual())


WEB, SHOP = stack_of("web", "api"), stack_of("shop", "app", "db")


def deletions(made):
    return [action.id for action in made.actions if action.type is ActionType.DELETE]


def test_a_stack_file_that_is_removed_takes_its_stack_along_after_all_else():
    cluster = deployed(*WEB, *SHOP, stacks=stacks("web", "shop"))
    more = service_spec("shop_new", stack="shop")
    head = desired(*SHOP, wanted(Kind.SERVICE, more, stack="shop"), stacks=stacks("shop"))
    made = planned(head, cluster)
    assert [action.id for action in made.actions] == ["service.shop_new", "service.web_api", "network.web_default"]
    after = {action.id: action.after for action in made.actions}
    assert after["service.web_api"] == ("service.shop_new",), "not before the new service has converged"
    assert set(after["network.web_default"]) == {"service.shop_new", "service.web_api"}
    assert planned(head, carried_out(made, cluster)).is_empty


def test_a_repository_that_lost_everything_deletes_nothing():
    cluster = deployed(*WEB, *SHOP)
    made = planned(desired(policy=EVERYTHING, stacks=()), cluster)
    assert made.actions == ()
    assert [blocked.id for blocked in made.blocked] == ["prune"]
    assert "no service at all" in made.blocked[0].problem.why


def test_a_network_alone_does_not_make_an_emptied_repository_a_full_one():
    backbone = wanted(Kind.NETWORK, network_spec("backbone", stack=None), stack=None)
    made = planned(desired(backbone, policy=EVERYTHING, stacks=()), deployed(*WEB, *SHOP))
    assert made.count(ActionType.DELETE) == 0
    assert "no service at all" in made.blocked[0].problem.why


def test_objects_of_another_repository_are_taken_over_with_a_note():
    made = planned(desired(*WEB, cluster="staging"), deployed(*WEB))
    (note,) = [one for one in made.notes if one.code is ErrorCode.OWNED_ELSEWHERE]
    assert "prod" in note.what
    assert "service web_api" in note.what
    assert not [one for one in planned(desired(*WEB), deployed(*WEB)).notes if one.code is ErrorCode.OWNED_ELSEWHERE]


def test_a_held_stack_keeps_what_it_has():
    cluster = deployed(*WEB, *SHOP, stacks=stacks("web", "shop"))
    outside = ExternalReference(Kind.NETWORK, "edge", "shop", HERE)
    head = desired(*WEB, *SHOP[:2], externals=(outside,), stacks=stacks("web", "shop"), policy=EVERYTHING)
    made = planned(head, cluster)
    assert [blocked.id for blocked in made.blocked] == ["network.edge"]
    assert made.actions == (), "shop_db is declared no more, but its stack is left alone"


def test_nothing_goes_while_a_service_is_blocked_that_may_take_its_place():
    """web_api was renamed to web_app, and somebody else has a service of that name."""
    cluster = deployed(*WEB, *SHOP, stacks=stacks("web", "shop"))
    theirs = observed(Kind.SERVICE, {**service_spec("web_app"), "Labels": {}}, object_id="theirs")
    renamed = [wanted(Kind.SERVICE, service_spec("web_app")) if one.kind is Kind.SERVICE else one for one in WEB]
    head = desired(*renamed, *SHOP, policy=EVERYTHING, stacks=stacks("web", "shop"))
    made = planned(head, replace(cluster, services=(*cluster.services, theirs)))
    assert [blocked.id for blocked in made.blocked] == ["service.web_app"]
    assert made.actions == ()
    assert [note.what for note in made.notes] == ["No longer declared, and kept for now: service web_api."]
    assert "web_app" in made.notes[0].why
    assert [action.id for action in planned(head, cluster).actions][-1] == "service.web_api"

    without_shop = [one for one in SHOP if one.kind is not Kind.SERVICE]
    smaller = desired(*renamed, *without_shop, policy=EVERYTHING, stacks=stacks("web", "shop"))
    made = planned(smaller, replace(cluster, services=(*cluster.services, theirs)))
    gone = {action.id for action in made.actions if action.type is ActionType.DELETE}
    assert gone == {f"service.{one.name}" for one in SHOP if one.kind is Kind.SERVICE}, "another stack is not held up"

    moved = desired(*renamed, policy=EVERYTHING, stacks=stacks("web"))
    made = planned(moved, replace(cluster, services=(*cluster.services, theirs)))
    assert made.actions == (), "a stack that is declared no more may have got another name"


def test_what_is_labelled_to_stay_stays_with_all_it_uses_and_that_is_told():
    kept = stack_of("web", "api", prune=False)
    cluster = deployed(*kept, *SHOP, stacks=stacks("web", "shop"))
    assert cluster.by_name(Kind.SERVICE)["web_api"].labels[labels.PRUNE] == "false"
    made = planned(desired(*SHOP, policy=EVERYTHING, stacks=stacks("shop")), cluster)
    assert made.is_empty
    told = [note.what for note in made.notes]
    assert told == [
        "No longer declared, and kept: service web_api.",
        "No longer declared, and kept: network web_default.",
    ]


def test_a_service_that_shall_stay_gets_the_label_and_no_task_restarts():
    cluster = deployed(*WEB)
    cluster = replace(cluster, nodes=(a_node("n1"),), tasks=running_tasks(cluster.services[0]))
    (action,) = planned(desired(*stack_of("web", "api", prune=False)), cluster).actions
    assert [(change.path, change.new) for change in action.changes] == [(f'Labels["{labels.PRUNE}"]', "false")]
    assert action.spec["Labels"][labels.PRUNE] == "false"
    assert action.effect is TaskEffect.NONE
    kept = carried_out(planned(desired(*stack_of("web", "api", prune=False)), cluster), cluster)
    (back,) = planned(desired(*WEB), kept).actions
    assert labels.PRUNE not in back.spec["Labels"]


def test_a_network_that_can_not_be_labelled_any_more_is_told():
    network = wanted(Kind.NETWORK, network_spec(), prune=False)
    made = planned(desired(network), deployed(*WEB[:1]))
    assert made.is_empty
    assert "network web_default" in made.notes[0].what.lower()
    fresh = planned(desired(network), actual())
    assert fresh.notes == ()
    assert fresh.actions[0].spec["Labels"][labels.PRUNE] == "false"


def test_what_a_foreign_service_uses_is_kept_and_told():
    objects = (
        wanted(Kind.SECRET, content_spec("web_key", "x")),
        wanted(Kind.CONFIG, content_spec("web_app", "y")),
        *SHOP,
    )
    cluster = deployed(*objects)
    user = service_spec("else_app", stack="else")
    user["TaskTemplate"]["Networks"] = []
    container = user["TaskTemplate"]["ContainerSpec"]
    container["Secrets"] = [{"SecretID": "id-web_key", "SecretName": "web_key", "File": {"Name": "k"}}]
    container["Privileges"] = {"CredentialSpec": {"Config": "id-web_app"}}
    cluster = replace(cluster, services=(*cluster.services, observed(Kind.SERVICE, user)))
    made = planned(desired(*SHOP, policy=EVERYTHING), cluster)
    assert made.is_empty
    assert [note.code for note in made.notes] == [ErrorCode.OBJECT_IN_USE]
    assert "config web_app, secret web_key" in made.notes[0].what


@pytest.mark.parametrize("comes", ["created", "updated", "replaced"])
def test_what_a_service_comes_to_use_as_external_is_kept_and_told(comes: str):
    """The engine would refuse to remove it: by then the service that the plan writes uses it."""
    gone = (
        wanted(Kind.NETWORK, network_spec("web_shared")),
        wanted(Kind.SECRET, content_spec("web_key", "x")),
        wanted(Kind.CONFIG, content_spec("web_app", "y")),
    )
    user = service_spec(
        "web_user",
        Configs=[{"File": {"Name": "/a"}, "ConfigName": "web_app"}],
        Secrets=[{"File": {"Name": "k"}, "SecretName": "web_key"}],
    )
    user["TaskTemplate"]["Networks"] = [{"Target": "web_shared"}]
    before = service_spec("web_user")
    before["TaskTemplate"].pop("Networks")
    before["Mode"] = {"Global": {}} if comes == "replaced" else before["Mode"]
    first = (*gone, some_service(), *(() if comes == "created" else (wanted(Kind.SERVICE, before),)))
    cluster = carried_out(planned(desired(*first), actual()), actual())
    made = planned(desired(some_service(), wanted(Kind.SERVICE, user), policy=EVERYTHING), cluster)
    assert [action.id for action in made.actions] == ["service.web_user"]
    assert [note.code for note in made.notes] == [ErrorCode.OBJECT_IN_USE]
    assert "config web_app, secret web_key, network web_shared" in made.notes[0].what


def test_what_stays_because_of_the_limit_keeps_the_versions_that_it_uses():
    def with_config(content, *more):
        spec = service_spec("web_api", Configs=[{"File": {"Name": "/a"}, "ConfigName": "web_app"}])
        return desired(
            wanted(Kind.CONFIG, content_spec("web_app", content)), wanted(Kind.SERVICE, spec), *more, *WEB[:1]
        )

    cluster = carried_out(planned(with_config("1"), actual()), actual())
    # The service goes from the repository, and the config gets another content again and again.
    for content in "2345":
        head = desired(wanted(Kind.CONFIG, content_spec("web_app", content)), *WEB[:1], policy=Policy(keep_versions=0))
        cluster = carried_out(planned(head, cluster), cluster)
    assert {config.name for config in cluster.configs} >= {"web_app"}
    assert "web_api" in cluster.by_name(Kind.SERVICE)


def test_a_limit_that_is_missed_by_little_is_not_told_as_kept():
    def state(*numbers):
        objects = [wanted(Kind.CONFIG, content_spec(f"web_{number}", "x")) for number in numbers]
        return desired(some_service(), *objects, policy=Policy(prune=True, max_delete_percent=50))

    cluster = carried_out(planned(state(*range(100)), actual()), actual())
    assert planned(state(*range(51, 100)), cluster).blocked[0].problem.why.startswith("That is 50.5 %")
    assert len(planned(state(*range(50, 100)), cluster).actions) == 50  # of 101


def test_all_versions_of_a_config_count_as_one_object_towards_the_limit():
    def state(*contents):
        objects = [wanted(Kind.CONFIG, content_spec(f"web_{at}", content)) for at, content in enumerate(contents)]
        return desired(some_service(), *objects, policy=Policy(prune=True, max_delete_percent=50, keep_versions=5))

    cluster = actual()
    for content in "1234567":
        cluster = carried_out(planned(state("fixed", content), cluster), cluster)
    assert len(cluster.configs) == 7
    assert len(deletions(planned(state("fixed"), cluster))) == 6  # one object of three
    [blocked] = planned(state(), cluster).blocked
    assert blocked.problem.what == "2 of 3 owned objects would be removed, and stay: config web_0, config web_1."
