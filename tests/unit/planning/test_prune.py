"""Pruning: only what is ours, only when asked, never most of it by mistake."""

from __future__ import annotations

from reconciler.model.desired import Policy
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from tests.unit.planning.builders import (
    actual,
    desired,
    network_spec,
    observed,
    planned,
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
