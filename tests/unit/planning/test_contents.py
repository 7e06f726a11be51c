"""Secrets and configs: a new content is a new object, and the old one goes when nothing needs it."""

from __future__ import annotations

import copy
from typing import Any

from reconciler.model import labels
from reconciler.model.desired import Policy
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, Plan
from reconciler.planning import render_json, render_text
from tests.unit.planning.builders import actual, content_spec, desired, observed, planned, service_spec, wanted


def with_config(content: str, **policy: Any):
    spec = service_spec(Configs=[{"File": {"Name": "/app.ini"}, "ConfigName": "web_app"}])
    spec["TaskTemplate"].pop("Networks")
    objects = wanted(Kind.CONFIG, content_spec("web_app", content)), wanted(Kind.SERVICE, spec)
    return desired(*objects, policy=Policy(**({"prune": True} | policy)))


def stored(made: Plan, *older, previous=None):
    """The cluster after a plan's creations and updates, `older` objects included."""
    created = [action for action in made.actions if action.spec is not None]
    objects = list(older)
    for action in created:
        spec = copy.deepcopy(action.spec)
        for reference in spec.get("TaskTemplate", {}).get("ContainerSpec", {}).get("Configs", []):
            reference["ConfigID"] = f"id-{reference['ConfigName']}"
        raw = {"PreviousSpec": previous} if previous and action.kind is Kind.SERVICE else {}
        objects = [one for one in objects if one.id != f"id-{action.name}"]
        objects.append(observed(action.kind, spec, **raw))
    return actual(*objects)


def test_the_first_version_has_the_name_of_the_stack_file():
    made = planned(with_config("a"), actual())
    assert [action.name for action in made.actions] == ["web_app", "web_api"]
    assert planned(with_config("a"), stored(made)).is_empty


def test_a_new_content_makes_a_hashed_config_and_one_service_update():
    first = stored(planned(with_config("a\n"), actual()))
    made = planned(with_config("b\n"), first)
    create, update = made.actions
    assert create.type is ActionType.CREATE
    assert create.name.startswith("web_app-")
    assert create.spec["Labels"][labels.LOGICAL_NAME] == "web_app"
    assert update.after == (create.id,)
    reference = update.spec["TaskTemplate"]["ContainerSpec"]["Configs"][0]
    assert reference["ConfigName"] == create.name
    text = render_text.render(made)
    assert "          -a" in text
    assert "          +b" in text


def test_the_version_to_roll_back_to_is_kept_and_the_one_before_goes():
    one = stored(planned(with_config("1", keep_versions=0), actual()))
    second_plan = planned(with_config("2", keep_versions=0), one)
    two = stored(second_plan, *one.configs, *one.services, previous=one.services[0].spec)
    unchanged = planned(with_config("2", keep_versions=0), two)
    assert unchanged.is_empty, "the first version is what a rollback would bring back"
    third_plan = planned(with_config("3", keep_versions=0), two)
    delete = third_plan.actions[-1]
    assert (delete.type, delete.id) == (ActionType.DELETE, "config.web_app")
    assert "service.web_api" in delete.after


def test_a_config_that_was_deployed_once_before_is_used_again():
    one = stored(planned(with_config("1"), actual()))
    two = stored(planned(with_config("2"), one), *one.configs, *one.services, previous=one.services[0].spec)
    back = planned(with_config("1"), two)
    assert [action.id for action in back.actions if action.type is ActionType.CREATE] == []
    update = next(action for action in back.actions if action.kind is Kind.SERVICE)
    assert update.spec["TaskTemplate"]["ContainerSpec"]["Configs"][0]["ConfigName"] == "web_app"


def test_a_secret_is_replaced_when_its_hash_differs_and_its_content_shows_nowhere():
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "first-secret-value")))
    made = planned(state, actual())
    cluster = actual(observed(Kind.SECRET, made.actions[0].spec))
    assert planned(state, cluster).is_empty
    changed = desired(wanted(Kind.SECRET, content_spec("web_key", "other-secret-value")))
    rotated = planned(changed, cluster)
    assert rotated.actions[0].name.startswith("web_key-")
    for shown in (made, rotated):
        everything = render_text.render(shown) + str(render_json.render(shown)) + repr(shown)
        for word in ("first-secret", "other-secret", content_spec("web_key", "first-secret-value")["Data"]):
            assert word not in everything


def test_a_secret_without_a_hash_counts_as_unchanged():
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "anything")))
    deployed_by_docker = observed(Kind.SECRET, content_spec("web_key", "unknown"))
    assert planned(state, actual(deployed_by_docker)).is_empty


def test_changed_labels_are_updated_in_place_and_keep_the_hash():
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "x")))
    made = planned(state, actual())
    cluster = actual(observed(Kind.SECRET, made.actions[0].spec))
    spec = content_spec("web_key", "x")
    spec["Labels"]["team"] = "blue"
    (action,) = planned(desired(wanted(Kind.SECRET, spec)), cluster).actions
    assert action.type is ActionType.UPDATE
    assert action.spec["Labels"]["team"] == "blue"
    assert action.spec["Labels"][labels.CONTENT] == cluster.secrets[0].labels[labels.CONTENT]
