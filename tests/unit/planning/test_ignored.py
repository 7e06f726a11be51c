"""Fields that are somebody else's: neither shown nor written, with the real planner."""

from __future__ import annotations

import copy

import pytest
from msgspec.structs import replace

from reconciler.model.objects import Kind
from reconciler.model.policies import IgnoreRule, Policies, path_steps
from reconciler.planning.ignored import with_ignored
from reconciler.planning.plan import plan
from tests.unit.planning import builders


def specs():
    wanted = builders.service_spec(replicas=3, Env=["MODE=a", "LEVEL=1"])
    live = copy.deepcopy(wanted)
    return wanted, live


def states(wanted: dict, live: dict):
    desired = builders.desired(
        builders.wanted(Kind.SERVICE, wanted), builders.wanted(Kind.NETWORK, builders.network_spec())
    )
    actual = builders.actual(
        builders.observed(Kind.NETWORK, builders.network_spec()), builders.observed(Kind.SERVICE, live)
    )
    return desired, actual


def changed_paths(wanted: dict, live: dict, *paths: str, objects: str = "service.web_*") -> list[str]:
    desired, actual = states(wanted, live)
    rules = [IgnoreRule(objects, path) for path in paths]
    made = plan(with_ignored(desired, actual, rules), actual)
    return [change.path for action in made.actions for change in action.changes]


MEDDLING = {
    "Mode.Replicated.Replicas": lambda spec: spec["Mode"]["Replicated"].update(Replicas=7),
    "TaskTemplate.ContainerSpec.Env[LEVEL]": lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(
        Env=["MODE=a", "LEVEL=9"]
    ),
    "TaskTemplate.ContainerSpec.Env[NEW]": lambda spec: spec["TaskTemplate"]["ContainerSpec"]["Env"].append("NEW=1"),
    'Labels["a.b"]': lambda spec: spec["Labels"].update({"a.b": "x"}),
    "TaskTemplate.Resources.Limits.MemoryBytes": lambda spec: spec["TaskTemplate"].update(
        Resources={"Limits": {"MemoryBytes": 1 << 30}}
    ),
    "UpdateConfig.Parallelism": lambda spec: spec.update(UpdateConfig={"Parallelism": 3}),
    "TaskTemplate.ContainerSpec.Image": lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image="nginx:9"),
}


@pytest.mark.parametrize("path", MEDDLING)
def test_an_ignored_field_is_no_change_and_any_other_still_is(path):
    wanted, live = specs()
    MEDDLING[path](live)
    assert path in changed_paths(wanted, live)
    assert changed_paths(wanted, live, path) == []
    assert changed_paths(wanted, live, path, objects="service.shop_*") != []
    live["TaskTemplate"]["ContainerSpec"]["User"] = "root"
    assert changed_paths(wanted, live, path) == ["TaskTemplate.ContainerSpec.User"]


def test_an_update_for_another_fields_sake_sends_the_ignored_one_as_it_is():
    wanted, live = specs()
    live["Mode"]["Replicated"]["Replicas"] = 7
    wanted["TaskTemplate"]["ContainerSpec"]["Image"] = "nginx:2"
    desired, actual = states(wanted, live)
    (action,) = plan(
        with_ignored(desired, actual, [IgnoreRule("service.*", "Mode.Replicated.Replicas")]), actual
    ).actions
    assert action.spec["Mode"]["Replicated"]["Replicas"] == 7
    assert action.spec["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:2"


def test_what_the_repository_says_is_ignored_by_every_plan():
    wanted, live = specs()
    live["Mode"]["Replicated"]["Replicas"] = 7
    desired, actual = states(wanted, live)
    assert plan(desired, actual).actions != ()
    rule = IgnoreRule("service.*", "Mode.Replicated.Replicas")
    assert plan(replace(desired, policies=Policies(ignore=(rule,))), actual).actions == ()


def test_wildcards_and_everything_below_a_field():
    wanted, live = specs()
    MEDDLING["TaskTemplate.Resources.Limits.MemoryBytes"](live)
    MEDDLING['Labels["a.b"]'](live)
    for paths in (("TaskTemplate.Resources", "Labels"), ("TaskTemplate.*.Limits", 'Labels["a.b"]')):
        assert changed_paths(wanted, live, *paths) == []


def test_an_object_that_does_not_exist_is_made_as_the_manifest_has_it():
    wanted, _ = specs()
    desired, _ = states(wanted, wanted)
    empty = builders.actual()
    assert with_ignored(desired, empty, [IgnoreRule("*", "Mode.Replicated.Replicas")]) == desired


def test_replicas_say_nothing_of_a_service_that_became_global():
    wanted, live = specs()
    live["Mode"] = {"Global": {}}
    desired, actual = states(wanted, live)
    ignoring = with_ignored(desired, actual, [IgnoreRule("*", "Mode.Replicated.Replicas")])
    assert ignoring.objects[0].spec["Mode"] == {"Replicated": {"Replicas": 3}}


def test_the_desired_state_is_never_changed_itself():
    wanted, live = specs()
    live["Mode"]["Replicated"]["Replicas"] = 7
    desired, actual = states(wanted, live)
    before = copy.deepcopy(desired.objects[0].spec)
    with_ignored(desired, actual, [IgnoreRule("*", "Mode.Replicated.Replicas"), IgnoreRule("*", "Mode")])
    assert desired.objects[0].spec == before


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("Mode.Replicated.Replicas", ("Mode", "Replicated", "Replicas")),
        ('Labels["a.b"]', ("Labels", "a.b")),
        ("TaskTemplate.ContainerSpec.Env[A_B]", ("TaskTemplate", "ContainerSpec", "Env", "A_B")),
        ("*", ("*",)),
        ("", None),
        ("..", None),
        (".Mode", None),
        ("[x]", None),
        ("Mode.", None),
        ("TaskTemplate.Networks", None),
        ("TaskTemplate.ContainerSpec.Secrets[x]", None),
    ],
)
def test_paths(path, steps):
    assert path_steps(path) == steps
