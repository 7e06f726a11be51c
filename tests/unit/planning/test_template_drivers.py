"""Configs and secrets that differ in what is done with their content: told as that, and blamed on whoever did it."""

from __future__ import annotations

import copy

import pytest
from msgspec.structs import replace

from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Origin
from reconciler.planning import render_text
from reconciler.planning.options import PlanOptions
from tests.unit.planning.builders import actual, content_spec, desired, planned, service_spec, wanted
from tests.unit.planning.test_contents import AT, stored, with_config


def with_template(content: str, driver: str | None, kind: Kind = Kind.CONFIG):
    made = with_config(content)
    config, service = made.objects
    frame = {"Templating": {"Name": driver}} if driver else {}
    spec = {**config.spec, "Labels": config.spec["Labels"], **frame}
    return replace(made, objects=(wanted(kind, spec), service) if kind is Kind.CONFIG else (wanted(kind, spec),))


@pytest.mark.parametrize("kind", [Kind.CONFIG, Kind.SECRET])
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("golang", None, ("Templating.Name", "golang", ABSENT)),
        (None, "golang", ("Templating.Name", ABSENT, "golang")),
        ("golang", "other", ("Templating.Name", "golang", "other")),
    ],
)
def test_a_template_driver_that_alone_changes_is_what_is_told(kind, before, after, told):
    cluster = stored(planned(with_template("a\n", before, kind), actual()))
    made = planned(with_template("a\n", after, kind), cluster)
    create = made.actions[0]
    assert create.reason == "its template driver differs from web_app"
    assert [(one.path, one.old, one.new) for one in create.changes if not one.path.startswith("Labels")] == [told]


@pytest.mark.parametrize("kind", [Kind.CONFIG, Kind.SECRET])
def test_a_template_driver_that_a_commit_takes_away_is_no_drift(kind):
    base = with_template("a\n", "golang", kind)
    made = planned(with_template("a\n", None, kind), stored(planned(base, actual())), PlanOptions(baseline=base))
    assert {change.origin for action in made.actions for change in action.changes} == {Origin.INTENT}
    assert "drifted" not in render_text.totals(made)


def test_going_back_to_another_template_driver_tells_that_and_no_content():
    first = stored(planned(with_template("a\n", "golang"), actual()))
    second = planned(with_template("a\n", None), first)
    cluster = stored(second, *first.configs)
    (action,) = planned(with_template("a\n", "golang"), cluster).actions
    assert [
        (one.path.removeprefix(AT), one.old, one.new) for one in action.changes if one.path != f"{AT}.ConfigName"
    ] == [(" (template driver)", ABSENT, "golang")]


def test_another_config_of_the_same_content_changes_no_content():
    spec = service_spec(Configs=[{"File": {"Name": "/app.ini"}, "ConfigName": "web_app"}])
    spec["TaskTemplate"].pop("Networks")
    both = [wanted(Kind.CONFIG, content_spec(name, "a\nb\n")) for name in ("web_app", "web_twin")]
    cluster = stored(planned(desired(*both, wanted(Kind.SERVICE, spec)), actual()))
    spec = copy.deepcopy(spec)
    spec["TaskTemplate"]["ContainerSpec"]["Configs"][0]["ConfigName"] = "web_twin"
    (action,) = planned(desired(*both, wanted(Kind.SERVICE, spec)), cluster).actions
    assert [one.path for one in action.changes] == [f"{AT}.ConfigName"]
