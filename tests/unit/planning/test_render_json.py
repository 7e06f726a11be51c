"""A plan as JSON: what schemas/plan.schema.json says, for every plan, with nothing sensitive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from reconciler.adapters.schema_files import plan_schema
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Change, Origin, TaskCounts
from reconciler.planning.render_json import render
from tests.unit.planning.plans import a_creation, a_plan, an_update, place, plans

SCHEMA = plan_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def rendered(plan: Any) -> Any:
    """The plan as a program reads it."""
    document = json.loads(json.dumps(render(plan)))
    VALIDATOR.validate(document)
    return document


def test_the_schema_is_a_schema_and_describes_every_field():
    Draft202012Validator.check_schema(SCHEMA)
    for definition in (SCHEMA, *SCHEMA["$defs"].values()):
        if "properties" in definition:
            assert definition["additionalProperties"] is False
            assert all("description" in one or "$ref" in one for one in definition["properties"].values())


@settings(deadline=None, max_examples=100)
@given(plans)
def test_every_plan_is_what_the_schema_says(plan):
    rendered(plan)


def test_a_change_says_who_moved_and_which_line_asks():
    change = Change("Mode.Replicated.Replicas", 5, 3, origin=Origin.DRIFT, applied=3, place=place(9))
    action = an_update(change, origin=Origin.DRIFT, tasks=TaskCounts(stop=2), awaits=("web_db",))
    document = rendered(a_plan(action, atomic_stacks=("web",)))
    assert document["actions"][0]["changes"] == [
        {
            "path": "Mode.Replicated.Replicas",
            "sensitive": False,
            "origin": "drift",
            "old": 5,
            "new": 3,
            "applied": 3,
            "place": {"file": "stacks/web.yaml", "line": 9, "column": 5, "key_path": ""},
        }
    ]
    assert document["actions"][0]["awaits"] == ["web_db"]
    assert document["actions"][0]["tasks"] == {"restart": 0, "start": 0, "stop": 2, "seconds": None}
    assert document["drift"] == {"fields": 1, "objects": 0, "changed": ["service.web_api"], "removed": []}
    assert document["stacks"] == [
        {"name": "web", "atomic": True, "add": 0, "change": 1, "destroy": 0, "actions": ["service.web_api"]}
    ]


def test_null_is_a_value_and_absent_is_none():
    document = rendered(a_plan(an_update(Change("A", ABSENT, None))))
    assert "old" not in document["actions"][0]["changes"][0]
    assert document["actions"][0]["changes"][0]["new"] is None


def test_sensitive_values_are_left_out_and_the_schema_insists():
    secret = a_creation(Kind.SECRET, "k", Change("Data", ABSENT, "scrypt:0011223344556677", sensitive=True))
    password = an_update(Change("Env[PASSWORD]", "hunter2", "hunter3", True, Origin.BOTH, "hunter1"))
    document = rendered(a_plan(secret, password))
    assert not any(hidden in json.dumps(document) for hidden in ("hunter", "scrypt"))
    document["actions"][1]["changes"][0]["old"] = "hunter2"
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("where", [(), ("summary",), ("actions", 0), ("actions", 0, "changes", 0), ("drift",)])
def test_what_the_schema_does_not_know_it_refuses(where: tuple[Any, ...]):
    document = rendered(a_plan(an_update(Change("A", 1, 2))))
    part = document
    for key in where:
        part = part[key]
    part["more"] = 1
    assert not VALIDATOR.is_valid(document)
