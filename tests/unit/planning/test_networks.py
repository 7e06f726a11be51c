"""Networks can't be changed in place: they are replaced when free, and reported when in use."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.errors import ErrorCode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType
from tests.unit.planning.builders import (
    actual,
    carried_out,
    desired,
    network_spec,
    observed,
    paths,
    planned,
    running_web,
    service_spec,
    wanted,
)

SUBNET: dict[str, Any] = {"IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}}


def test_a_free_network_that_differs_is_replaced():
    live = observed(Kind.NETWORK, network_spec(Attachable=False))
    made = planned(desired(wanted(Kind.NETWORK, network_spec(Attachable=True))), actual(live))
    assert [action.type for action in made.actions] == [ActionType.REPLACE]
    assert paths(made) == {"network.web_default": ["Attachable"]}


def test_a_network_in_use_that_differs_is_blocked_with_its_users():
    made = planned(desired(wanted(Kind.NETWORK, network_spec(**SUBNET))), actual(*running_web(owner=None)))
    assert [blocked.code for blocked in made.blocked] == [ErrorCode.NOT_UPDATABLE]
    problem = made.blocked[0].problem
    assert "10.0.1.0/24" in problem.what
    assert "10.9.0.0/24" in problem.what
    assert "web_api is attached" in problem.why
    assert "don't declare web_api" in problem.why
    assert "docker service rm" not in problem.hint, "nobody is told to remove what is not theirs"


def test_who_holds_a_network_is_told_with_what_to_do_about_it():
    state = desired(wanted(Kind.NETWORK, network_spec(Attachable=True)), wanted(Kind.SERVICE, service_spec()))
    (blocked, waiting) = planned(state, actual(*running_web())).blocked
    assert blocked.problem.what == (
        "Network web_default differs and can't be changed: Attachable is false, and true is asked for."
    )
    assert "`docker service rm web_api`" in blocked.problem.hint
    assert "`name: web_default-2`" in blocked.problem.hint
    assert waiting.id == "service.web_api"


def test_a_given_subnet_is_compared_and_an_allotted_one_is_not():
    live = observed(
        Kind.NETWORK,
        network_spec(IPAM={"Driver": "default", "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]}),
    )
    assert planned(desired(wanted(Kind.NETWORK, network_spec(**SUBNET))), actual(live)).is_empty
    assert planned(desired(wanted(Kind.NETWORK, network_spec())), actual(live)).is_empty
    other: dict[str, Any] = {"IPAM": {"Config": [{"Subnet": "10.8.0.0/24"}]}}
    made = planned(desired(wanted(Kind.NETWORK, network_spec(**other))), actual(live))
    assert paths(made) == {"network.web_default": ["IPAM.Config[0].Subnet"]}


def test_a_namesake_without_the_stack_label_blocks_and_so_do_its_users():
    live = observed(Kind.NETWORK, network_spec(stack=None))
    made = planned(desired(wanted(Kind.NETWORK, network_spec())), actual(live))
    assert [blocked.code for blocked in made.blocked] == [ErrorCode.NAME_CONFLICT]


@pytest.mark.parametrize("stack", ["shop", None])
def test_a_network_whose_declaration_moves_to_another_stack_stays_as_it_is(stack: str | None):
    before = desired(wanted(Kind.NETWORK, network_spec("shared")), wanted(Kind.SERVICE, on_shared()))
    cluster = carried_out(planned(before, actual()), actual())
    network = wanted(Kind.NETWORK, network_spec("shared", stack=stack), stack=stack)
    after = desired(network, wanted(Kind.SERVICE, on_shared()))
    assert planned(after, cluster).is_empty
    changed = wanted(Kind.NETWORK, network_spec("shared", stack=stack, Attachable=True), stack=stack)
    (blocked, _) = planned(desired(changed, wanted(Kind.SERVICE, on_shared())), cluster).blocked
    assert blocked.problem.what.endswith("Attachable is false, and true is asked for.")
    theirs = replace(cluster.networks[0], spec={**cluster.networks[0].spec, "Labels": {labels.STACK_NAMESPACE: "web"}})
    assert planned(after, replace(cluster, networks=(theirs,))).blocked


def on_shared() -> JsonObject:
    spec = service_spec()
    spec["TaskTemplate"]["Networks"] = [{"Target": "shared"}]
    return spec


def test_what_swarm_yaml_declares_itself_is_taken_over_by_name():
    live = observed(Kind.NETWORK, network_spec("public", stack=None))
    state = desired(wanted(Kind.NETWORK, network_spec("public", stack=None), stack=None))
    assert planned(state, actual(live)).is_empty
