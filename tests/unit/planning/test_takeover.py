"""Two repositories that are applied side by side and declare one object: whoever has it keeps it."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import actual, carried_out, desired, network_spec, planned, service_spec, wanted

WEB = (wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, service_spec()))
CHANGED = (wanted(Kind.NETWORK, network_spec()), wanted(Kind.SERVICE, service_spec(image="nginx:2")))
BACKBONE = wanted(Kind.NETWORK, network_spec("backbone", stack=None), stack=None)


def of_prod(*objects):
    state = desired(*objects)
    return carried_out(planned(state, actual()), actual())


def beside(*objects):
    return PlanOptions(elsewhere={(one.kind, one.name): "prod" for one in objects})


def test_a_stack_of_which_another_repository_has_an_object_is_held_as_a_whole():
    made = planned(desired(*CHANGED, cluster="staging"), of_prod(*WEB), beside(WEB[1]))
    assert made.actions == ()
    (blocked,) = made.blocked
    assert (blocked.id, blocked.code) == ("service.web_api", ErrorCode.OWNED_ELSEWHERE)
    assert "prod" in blocked.problem.what
    assert not [one for one in made.notes if one.code is ErrorCode.OWNED_ELSEWHERE and "service" in one.what]


def test_what_belongs_to_no_stack_is_left_and_all_else_goes_on():
    other = wanted(Kind.NETWORK, network_spec("spare", stack=None), stack=None)
    theirs = of_prod(*WEB, BACKBONE)
    made = planned(desired(BACKBONE, other, cluster="staging", stacks=()), theirs, beside(BACKBONE))
    assert [action.id for action in made.actions] == ["network.spare"]
    assert [one.id for one in made.blocked] == ["network.backbone"]


def test_it_is_taken_over_once_the_other_one_declares_it_no_more():
    made = planned(desired(*CHANGED, cluster="staging"), of_prod(*WEB), PlanOptions())
    assert "service.web_api" in [action.id for action in made.actions]
    assert made.blocked == ()


def test_who_has_it_goes_on_though_another_one_declares_it_too():
    made = planned(desired(*CHANGED), of_prod(*WEB), PlanOptions(elsewhere={(Kind.SERVICE, "web_api"): "staging"}))
    assert [action.id for action in made.actions] == ["service.web_api"]
    assert made.blocked == ()
