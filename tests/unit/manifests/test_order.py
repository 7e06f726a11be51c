"""`depends_on` inside a stack: an order of services, and never a reason to refuse what docker takes."""

from __future__ import annotations

from graphlib import TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifests.load import load_stack_file
from reconciler.manifests.requests import create_requests
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from tests.unit.manifests.builders import inputs, loaded, revision, service_problem, stack, the_problem

NAMES = "abcdef"


def needs(state: DesiredState) -> dict[str, tuple[str, ...]]:
    return {each.name: each.needs for each in state.of_kind(Kind.SERVICE) if each.needs}


def text_of(graph: dict[str, list[str]]) -> str:
    return "services:\n" + "".join(
        f"  {name}:\n    image: i\n    depends_on: [{', '.join(others)}]\n" for name, others in graph.items()
    )


def test_needs_are_full_names_in_the_order_written() -> None:
    state = stack(text_of({"a": ["c", "b"], "b": [], "c": ["b"]}))
    assert needs(state) == {"s_a": ("s_c", "s_b"), "s_c": ("s_b",)}
    assert not state.warnings


def test_needs_are_in_no_create_request() -> None:
    with_needs, without = stack(text_of({"a": ["b"], "b": []})), stack(text_of({"a": [], "b": []}))
    assert create_requests(with_needs) == create_requests(without)


def test_a_service_with_a_name_of_its_own_is_waited_for_by_that_name() -> None:
    text = "services: {a: {image: i, depends_on: [b]}, b: {image: i, x-swarmctl: {spec: {Name: other}}}}"
    assert needs(stack(text)) == {"s_a": ("other",)}


def test_outside_stacks_names_have_no_prefix() -> None:
    text = "x-swarmctl: {stack: false}\nservices: {a: {image: i, depends_on: [b]}, b: {image: i}}"
    assert needs(stack(text)) == {"a": ("b",)}


def test_an_unknown_service_is_a_warning_with_a_hint_and_docker_s_words_stay_its_own() -> None:
    state = stack("services:\n  web:\n    image: i\n    depends_on:\n      - bd\n      - db\n  db:\n    image: i\n")
    [warning] = state.warnings
    assert (warning.code, str(warning.place), warning.docker) == (ErrorCode.UNDEFINED_REFERENCE, "web.yaml:5:9", "")
    assert "`db`" in warning.hint
    assert needs(state) == {"s_web": ("s_db",)}


def test_a_circle_is_a_warning_with_each_line_and_only_its_edges_are_left_out() -> None:
    state = stack(text_of({"a": ["b", "d"], "b": ["c"], "c": ["a"], "d": []}))
    [warning] = state.warnings
    assert warning.code is ErrorCode.DEPENDENCY_CYCLE
    assert "a -> b -> c -> a" in warning.what
    assert "a -> b at web.yaml:4:18; b -> c at web.yaml:7:18; c -> a at web.yaml:10:18" in warning.why
    assert str(warning.place) == "web.yaml:4:18"
    assert needs(state) == {"s_a": ("s_d",)}


def test_a_service_that_waits_for_itself_waits_for_nothing() -> None:
    state = stack(text_of({"a": ["a"]}))
    assert needs(state) == {}
    assert "a -> a" in state.warnings[0].what


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True, max_size=4)))
def test_what_is_left_can_always_be_put_in_an_order(graph: dict[str, list[str]]) -> None:
    whole = {name: graph.get(name, []) for name in NAMES}
    state = stack(text_of(whole))
    kept = {each.name: each.needs for each in state.of_kind(Kind.SERVICE)}
    list(TopologicalSorter(kept).static_order())
    asked = {f"s_{name}": tuple(f"s_{other}" for other in others) for name, others in whole.items()}
    assert bool(state.warnings) == (kept != asked)


def test_a_second_file_adds_to_the_list_as_docker_s_merge_does() -> None:
    one = text_of({"a": ["b"], "b": [], "c": []})
    two = "services:\n  a:\n    depends_on: [c, x, b]\n"
    state = load_stack_file(revision({"one.yaml": one, "two.yaml": two}), "one.yaml", "s", inputs(), ("two.yaml",))
    assert needs(state) == {"s_a": ("s_b", "s_c")}
    assert [str(warning.place) for warning in state.warnings] == ["two.yaml:3:21"]


def test_warnings_of_stacks_in_a_folder_are_told_too() -> None:
    state = loaded({"stacks/s.yaml": text_of({"a": ["x"]})})
    assert [str(warning.place) for warning in state.warnings] == ["stacks/s.yaml:4:18"]


def test_the_long_form_is_refused_as_docker_refuses_it() -> None:
    assert service_problem("depends_on: {b: {condition: service_started}}").code is ErrorCode.WRONG_TYPE
    assert service_problem("depends_on: [b, b]").code is ErrorCode.INVALID_VALUE
    assert the_problem("services: {a: {image: i, depends_on: [1]}}").code is ErrorCode.WRONG_TYPE


def test_a_long_chain_is_no_burden() -> None:
    graph = {f"s{number}": [f"s{number + 1}"] for number in range(2000)}
    graph["s2000"] = ["s0"]
    [warning] = stack(text_of(graph)).warnings
    assert warning.code is ErrorCode.DEPENDENCY_CYCLE
