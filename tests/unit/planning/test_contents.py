"""Secrets and configs: a new content is a new object, and the old one goes when nothing needs it."""

from __future__ import annotations

import base64
import copy
import re
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.desired import Policy
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, Origin, Plan
from reconciler.planning import render_json, render_text
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import (
    actual,
    carried_out,
    content_spec,
    desired,
    observed,
    planned,
    service_spec,
    wanted,
)


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
    assert delete.reason == "nothing uses this version of web_app any more", "it is declared, and has another content"


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


AT = "TaskTemplate.ContainerSpec.Configs[/app.ini]"


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00:00:00Z"


def rotated(*contents: str, **policy: Any):
    """The cluster after these contents were applied one after the other, a day each."""
    cluster = actual()
    for number, content in enumerate(contents, start=1):
        cluster = carried_out(planned(with_config(content, **policy), cluster), cluster, at=day(number))
    return cluster


def texts(cluster) -> list[str]:
    return sorted(base64.b64decode(config.spec["Data"]).decode() for config in cluster.configs)


def test_as_many_former_versions_stay_as_the_policy_says_and_the_second_plan_is_empty():
    for keep, left in ((0, ["4", "5"]), (1, ["4", "5"]), (2, ["3", "4", "5"]), (9, ["1", "2", "3", "4", "5"])):
        cluster = rotated("1", "2", "3", "4", "5", keep_versions=keep)
        assert texts(cluster) == left, "the version to roll back to stays in any case"
        assert planned(with_config("5", keep_versions=keep), cluster).is_empty


def test_former_versions_go_also_without_prune_but_nothing_else_does():
    cluster = rotated("1", "2", "3", "4", "5", prune=False)
    assert texts(cluster) == ["3", "4", "5"]


def kept(content: str):
    state = with_config(content)
    config = wanted(Kind.CONFIG, content_spec("web_app", content), prune=False)
    return replace(state, objects=(config, state.objects[1]))


def test_former_versions_of_what_must_stay_go_too_as_long_as_it_is_declared():
    cluster = actual()
    for number, content in enumerate("12345", start=1):
        cluster = carried_out(planned(kept(content), cluster), cluster, at=day(number))
    assert texts(cluster) == ["3", "4", "5"]
    undeclared = replace(kept("5"), objects=(wanted(Kind.SERVICE, service_spec("web_other")),))
    left = carried_out(planned(undeclared, cluster), cluster, at=day(6))
    assert texts(left) == ["3", "4", "5"]


def test_a_lone_stack_file_leaves_no_more_versions_behind_either():
    cluster = actual()
    for number, content in enumerate("12345", start=1):
        state = replace(with_config(content), cluster="")
        cluster = carried_out(planned(state, cluster), cluster, at=day(number))
    assert texts(cluster) == ["1", "3", "4", "5"], "the plainly named one may be anybody's"


def test_an_adopted_first_version_is_not_ours_to_remove():
    adopted = observed(Kind.CONFIG, content_spec("web_app", "1"), CreatedAt=day(1))
    cluster = actual(adopted)
    for number, content in enumerate("2345", start=2):
        cluster = carried_out(planned(with_config(content), cluster), cluster, at=day(number))
    assert texts(cluster) == ["1", "3", "4", "5"]


def test_a_former_version_that_a_foreign_service_uses_stays():
    cluster = rotated("1", "2")
    user = service_spec("else_app", stack="else")
    user["TaskTemplate"].pop("Networks")
    user["TaskTemplate"]["ContainerSpec"]["Configs"] = [{"ConfigID": "id-web_app", "ConfigName": "web_app"}]
    foreign = observed(Kind.SERVICE, user)
    for number, content in enumerate("345", start=3):
        cluster = replace(cluster, services=(*cluster.services, foreign))
        cluster = carried_out(planned(with_config(content), cluster), cluster, at=day(number))
    assert texts(cluster) == ["1", "3", "4", "5"]


def data_of(made: Plan) -> tuple[object, object]:
    (change,) = [change for action in made.actions for change in action.changes if change.path == "Data"]
    return change.old, change.new


def test_the_content_is_compared_with_what_tasks_see_whatever_versions_there_are():
    cluster = rotated("1", "2", "3")
    assert data_of(planned(with_config("4"), cluster)) == ("3", "4")
    back = carried_out(planned(with_config("1"), cluster), cluster, at=day(4))
    assert data_of(planned(with_config("4"), back)) == ("1", "4")


def test_going_back_uses_the_version_that_is_still_there_and_shows_its_content():
    made = planned(with_config("1"), rotated("1", "2"))
    (action,) = made.actions
    assert action.type is ActionType.UPDATE
    changes = {change.path.removeprefix(AT): (change.old, change.new) for change in action.changes}
    assert changes.keys() == {".ConfigName", " (content)"}
    assert changes[".ConfigName"][1] == "web_app"
    assert changes[" (content)"] == ("2", "1")


def pointed_at(cluster, name):
    """The cluster after somebody made its service use another config."""
    (service,) = cluster.services
    spec = copy.deepcopy(service.spec)
    spec["TaskTemplate"]["ContainerSpec"]["Configs"][0] |= {"ConfigName": name, "ConfigID": f"id-{name}"}
    return replace(cluster, services=(replace(service, spec=spec),))


def drift_told(made: Plan) -> list[str]:
    """The lines of the section about drift that show what a config's content became."""
    section, _, _ = render_text.render(made).partition("swarmctl compared")
    return [line.strip() for line in section.splitlines() if line.startswith("          ")]


def test_a_config_that_somebody_changed_is_told_by_the_lines_that_differ():
    cluster = rotated("a\nfirst\n", "a\nsecond\n")
    moved = pointed_at(cluster, "web_app")
    assert drift_told(planned(with_config("a\nsecond\n"), moved)) == ["@@ -1,2 +1,2 @@", "a", "-second", "+first"]
    # Against another revision, whose content the swarm has no version of.
    base = with_config("a\nbase\n")
    assert drift_told(planned(with_config("a\nsecond\n"), moved, PlanOptions(baseline=base))) == [
        "@@ -1,2 +1,2 @@",
        "a",
        "-base",
        "+first",
    ]


@pytest.mark.parametrize("kept", [False, True])
def test_going_back_to_a_version_with_other_labels_is_no_drift(kept: bool):
    def labelled(content: str, owner: str, *, prune: bool):
        made = with_config(content)
        _, service = made.objects
        spec = content_spec("web_app", content)
        spec["Labels"]["team"] = owner
        return replace(made, objects=(wanted(Kind.CONFIG, spec, prune=prune), service))

    first, second = labelled("1", "a", prune=True), labelled("2", "b", prune=not kept)
    cluster = carried_out(planned(first, actual()), actual(), at=day(1))
    cluster = carried_out(planned(second, cluster), cluster, at=day(2))
    made = planned(labelled("1", "b", prune=not kept), cluster, PlanOptions(baseline=second))
    [label] = [action for action in made.actions if action.kind is Kind.CONFIG]
    assert len(label.changes) == 1 + kept
    assert {change.origin for action in made.actions for change in action.changes} == {Origin.INTENT}


def test_where_the_content_that_was_applied_is_gone_only_the_name_tells_who_moved():
    cluster = rotated("a\nfirst\n", "a\nsecond\n", "a\nthird\n")
    moved = pointed_at(cluster, "web_app")
    third = next(one for one in cluster.configs if b"third" in base64.b64decode(one.spec["Data"]))
    moved = replace(moved, configs=tuple(one for one in moved.configs if one is not third))
    made = planned(with_config("a\nsecond\n"), moved)
    assert third.name in render_text.render(made)
    assert drift_told(made) == []


def test_of_equal_versions_the_one_in_use_stays():
    cluster = rotated("1", "2")
    twin = replace(cluster.configs[0], id="id-twin", name="web_twin")
    twin = replace(
        twin, spec={**cluster.configs[1].spec, "Name": "web_twin"}, raw={"CreatedAt": day(9)}
    )  # fmt: skip
    cluster = replace(cluster, configs=(twin, *cluster.configs))
    assert planned(with_config("2"), cluster).is_empty


def test_only_the_services_that_use_a_config_are_written():
    other = service_spec("web_other")
    other["TaskTemplate"].pop("Networks")
    bystander = wanted(Kind.SERVICE, other)

    def both(content):
        state = with_config(content)
        return replace(state, objects=(*state.objects, bystander))

    cluster = carried_out(planned(both("1"), actual()), actual())
    made = planned(both("2"), cluster)
    assert [action.name for action in made.actions if action.kind is Kind.SERVICE] == ["web_api"]


def test_long_names_are_cut_and_stay_apart():
    names = ["n" * 63 + end for end in "ab"]

    def state(content):
        return desired(*[wanted(Kind.CONFIG, content_spec(name, content)) for name in names])

    cluster = carried_out(planned(state("1"), actual()), actual())
    made = planned(state("2"), cluster)
    created = {action.name for action in made.actions}
    assert len(created) == 2
    assert all(len(name) <= 64 for name in created)
    assert planned(state("2"), carried_out(made, cluster)).is_empty


def test_a_name_that_another_content_has_taken_is_made_longer():
    first = rotated("1")
    rotated_name = planned(with_config("2"), first).actions[0].name
    squatter = observed(Kind.CONFIG, content_spec(rotated_name, "else"))
    made = planned(with_config("2"), replace(first, configs=(*first.configs, squatter)))
    assert made.actions[0].name.startswith(rotated_name)
    assert made.actions[0].name != rotated_name


def test_a_driver_object_is_left_alone():
    spec = {"Name": "web_vault", "Labels": {labels.STACK_NAMESPACE: "web"}, "Driver": {"Name": "vault"}}
    state = desired(wanted(Kind.SECRET, spec))
    live = observed(Kind.SECRET, {**spec, "Driver": {"Name": "vault", "Options": {}}})
    assert planned(state, actual(live)).is_empty
    made = planned(state, actual())
    assert labels.CONTENT not in made.actions[0].spec["Labels"]


def test_a_plan_shows_no_more_of_a_secret_than_a_short_hash():
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "first-secret-value")))
    cluster = carried_out(planned(state, actual()), actual())
    made = planned(desired(wanted(Kind.SECRET, content_spec("web_key", "other-secret-value"))), cluster)
    for shown in data_of(made):
        assert re.fullmatch("scrypt:[0-9a-f]{8}", str(shown))


def test_a_known_version_of_a_secret_comes_before_one_that_nobody_has_noted():
    state = desired(wanted(Kind.SECRET, content_spec("web_key", "new")))
    first = carried_out(planned(desired(wanted(Kind.SECRET, content_spec("web_key", "old"))), actual()), actual())
    second = carried_out(planned(state, first), first)
    relabelled_by_docker = observed(Kind.SECRET, content_spec("web_key", "old"))
    rotated_one = next(secret for secret in second.secrets if secret.name != "web_key")
    cluster = actual(relabelled_by_docker, rotated_one)
    assert planned(state, cluster).is_empty
    changed = planned(desired(wanted(Kind.SECRET, content_spec("web_key", "newer"))), cluster)
    assert [action.type for action in changed.actions] == [ActionType.CREATE]


def test_what_must_stay_gets_its_label_and_loses_it_again():
    def state(*, prune):
        return desired(wanted(Kind.CONFIG, content_spec("web_app", "1"), prune=prune))

    cluster = carried_out(planned(state(prune=True), actual()), actual())
    (action,) = planned(state(prune=False), cluster).actions
    assert (action.type, action.spec["Labels"][labels.PRUNE]) == (ActionType.UPDATE, "false")
    kept = carried_out(planned(state(prune=False), cluster), cluster)
    assert planned(state(prune=False), kept).is_empty
    (action,) = planned(state(prune=True), kept).actions
    assert labels.PRUNE not in action.spec["Labels"]


@pytest.mark.parametrize("kind", [Kind.CONFIG, Kind.SECRET])
def test_what_another_stack_of_the_repository_declares_now_gets_its_label_and_stays_as_it_is(kind):
    def declared_by(stack: str, content: str = "x"):
        return desired(wanted(kind, content_spec("shared", content, stack=stack), stack=stack))

    cluster = carried_out(planned(declared_by("web"), actual()), actual())
    made = planned(declared_by("shop"), cluster)
    (action,) = made.actions
    assert (action.type, action.name, made.blocked) == (ActionType.UPDATE, "shared", ())
    assert [change.path for change in action.changes] == [f'Labels["{labels.STACK_NAMESPACE}"]']
    assert planned(declared_by("shop"), carried_out(made, cluster)).is_empty

    (created,) = planned(declared_by("shop", "y"), cluster).actions
    assert created.type is ActionType.CREATE
    assert created.name.startswith("shared-")


def test_what_a_stack_of_somebody_else_has_is_not_taken():
    theirs = observed(Kind.CONFIG, content_spec("shared", "x", stack="theirs"))
    made = planned(desired(wanted(Kind.CONFIG, content_spec("shared", "x"))), actual(theirs))
    assert made.actions == ()
    (blocked,) = made.blocked
    assert blocked.problem.code is ErrorCode.NAME_CONFLICT
    assert blocked.problem.hint.endswith("`docker config rm shared`.")
