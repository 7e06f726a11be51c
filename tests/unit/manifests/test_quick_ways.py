"""The quick ways through a sound file say exactly what the slow ways say."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.manifests.compose.hints import KEY_HINTS
from reconciler.manifests.document import Document, _Reader, read_document
from reconciler.manifests.problems import KeyPath, ProblemList
from reconciler.manifests.schema_check import SchemaCheck
from reconciler.manifests.schema_fast import fast_check
from reconciler.manifests.schema_keywords import errors_of
from reconciler.manifests.yaml_tree import parse
from reconciler.manifests.yaml_values import plain_values
from tests.unit.manifests.builders import SCHEMAS

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STACK = """\
version: "3.8"
x-scalars: [012, 1.10, 2001-01-01, ~, .5, -0, 1_0, 0x1F, 22:22]
services:
  web:
    image: nginx:1
    command: ["serve", '8080', on]
    environment: {A: 1, B: , "C D": "true", yes: no}
    ports: ["80:80", {target: 1, published: 2}]
    deploy:
      replicas: 2
      resources: {limits: {cpus: "0.5", memory: 64M}}
      placement: {constraints: ["node.role == manager"]}
    healthcheck: {test: [CMD, x], interval: 1m30s, retries: 3}
    networks:
      front: {aliases: [w]}
  empty:
networks: {front: }
secrets:
  - not
  - a mapping
"""


def the_slow_way(text: str) -> Document:
    document = Document("f.yaml", None, None, text, parse(text).root, _is_read=True)
    assert document._root is not None
    problems = ProblemList()
    document.value = _Reader(document, problems).value(document._root, ())
    assert problems.errors == []
    return document


def paths_of(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, item in inner for found in paths_of(item, (*path, step)))]


def same_as_the_slow_way(text: str) -> None:
    quick = read_document(text.encode(), "f.yaml", ProblemList())
    slow = the_slow_way(text)
    assert quick is not None
    assert repr(quick.value) == repr(slow.value)
    absent: list[KeyPath] = [("nope",), ("services", "nope"), ("networks", "default"), ("secrets", 0, "x")]
    for path in [*paths_of(slow.value), *absent]:
        assert quick.key_place(path) == slow.key_place(path)
        assert quick.place(path) == slow.place(path)
        assert quick.source(path) == slow.source(path)


@pytest.mark.parametrize("text", [STACK, "[1, {a: b}]", "a", "{a: {b: c}}", "\n\n  a: {b: 1}\n"])
def test_values_and_places_are_those_of_the_tree(text: str) -> None:
    assert plain_values(text) is not None
    same_as_the_slow_way(text)


def test_a_place_at_the_outermost_keys_needs_no_tree() -> None:
    document = read_document(STACK.encode(), "f.yaml", ProblemList())
    assert document is not None
    assert str(document.key_place(("services", "web"))) == "f.yaml:4:3"
    assert str(document.key_place(("networks", "default"))) == "f.yaml:17:1"
    assert not document._is_read


@pytest.mark.parametrize(
    "text",
    ["a: &x 1\nb: *x", "a: !!str 1", "<<: {a: 1}", "1: 2", "a: 1\na: 2", "? [a]\n: b", "a: .inf", "", "a: [", "~: 1"],
)
def test_what_is_unusual_is_left_to_the_tree(text: str) -> None:
    assert plain_values(text) is None


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@MANY
@given(VALUES, st.booleans())
def test_generated_documents_have_the_values_of_the_tree(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    if plain_values(text) is not None:
        same_as_the_slow_way(text)


SOUND = plain_values(STACK.partition("secrets:")[0])
ANY_VALUE = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 2.0, 70000, "", "x", "10s", "3.1", [], ["a"], ["a", "a"], [1], {}, {"name": "x"}]
)
ANY_KEY = st.sampled_from(["x-a", "name", "restart", "privileged", "extends", "init", "mode", "target", "tmpfs", "?"])


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """A sound stack with some values or keys changed."""
    assert SOUND is not None
    value = copy.deepcopy(SOUND.value)
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from([path for path in paths_of(value) if path] or [("services",)]))
        around = value
        for step in path[:-1]:
            around = around[step]
        if isinstance(around, dict) and draw(st.booleans()):
            around[draw(ANY_KEY)] = copy.deepcopy(draw(ANY_VALUE))
        else:
            around[path[-1]] = copy.deepcopy(draw(ANY_VALUE))
    return value


@MANY
@given(changed(), st.integers(0, 13))
def test_the_quick_check_never_passes_what_the_slow_one_tells_of(value: Any, minor: int) -> None:
    if fast_check(SCHEMAS.stack, minor)(value):
        problems = ProblemList()
        SchemaCheck(SCHEMAS.stack, KEY_HINTS, minor).run(Document("f.yaml", value), value, problems)
        assert (problems.errors, problems.warnings) == ([], [])


def test_the_quick_check_passes_a_sound_stack() -> None:
    assert SOUND is not None
    assert fast_check(SCHEMAS.stack, 13)({**SOUND.value, "services": {"web": SOUND.value["services"]["web"]}})


def test_a_keyword_that_the_quick_check_does_not_know_is_left_to_the_slow_one() -> None:
    assert not fast_check({"anyOf": [True]}, None)("x")


def test_a_recursive_schema_ends() -> None:
    schema = {"$defs": {"tree": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}}}}
    assert fast_check({**schema, "$ref": "#/$defs/tree"}, None)({})


CLUSTER: Any = yaml.safe_load((Path(__file__).parents[3] / "examples/stacks/swarm.yaml").read_text())


@st.composite
def changed_cluster(draw: st.DrawFn) -> Any:
    """A sound swarm.yaml with one value or key changed."""
    value = copy.deepcopy(CLUSTER)
    path = draw(st.sampled_from([path for path in paths_of(value) if path]))
    around = value
    for step in path[:-1]:
        around = around[step]
    key = draw(ANY_KEY) if isinstance(around, dict) and draw(st.booleans()) else path[-1]
    around[key] = copy.deepcopy(draw(ANY_VALUE))
    return value


@MANY
@given(changed_cluster())
def test_the_quick_check_of_a_cluster_never_passes_what_the_slow_one_tells_of(value: Any) -> None:
    if fast_check(SCHEMAS.cluster, None)(value):
        assert list(errors_of(SCHEMAS.cluster, value)) == []


def test_the_quick_check_passes_a_sound_cluster() -> None:
    assert fast_check(SCHEMAS.cluster, None)(CLUSTER)
