"""A reload compiles only stacks whose inputs changed, and gives what a first load gives."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from reconciler.manifests.compilation import Compilation
from reconciler.manifests.load import load, load_again
from reconciler.model.errors import SwarmctlError
from tests.unit.manifests.builders import CLUSTER, inputs, revision

FILES = {
    "swarm.yaml": CLUSTER,
    "stacks/a.yaml": "services: {a: {image: 'i:${TAG:-1}', env_file: a.env, restart: always}}\n",
    "stacks/a.env": "X=1\nNAME\n",
    "stacks/b.yaml": "services: {b: {image: i, environment: [E]}}\nsecrets: {s: {file: s.txt}}\n",
    "stacks/s.txt": "old",
}


def loaded_again(before: Compilation, files: Mapping[str, str], **environment: str) -> tuple[str, ...]:
    """Load once more and return the stacks that were compiled, after making sure that the state is that of a load."""
    given = {**FILES, **files}
    after = load_again(revision(given), inputs(**environment), before)
    assert after.state == load(revision(given), inputs(**environment))
    return after.fresh


@pytest.fixture(name="before")
def _before() -> Compilation:
    return load_again(revision(FILES), inputs(), None)


def test_the_first_load_compiles_all(before: Compilation) -> None:
    assert before.fresh == ("a", "b")


@pytest.mark.parametrize(
    ("files", "environment", "fresh"),
    [
        ({}, {}, ()),
        ({"other.txt": "x"}, {"OTHER": "x"}, ()),
        ({"swarm.yaml": CLUSTER + "spec: {policy: {prune: true}}\n"}, {}, ()),
        ({"stacks/a.yaml": FILES["stacks/a.yaml"] + "# more\n"}, {}, ("a",)),
        ({"stacks/a.env": "X=2\n"}, {}, ("a",)),
        ({"stacks/s.txt": "new"}, {}, ("b",)),
        ({}, {"TAG": "2"}, ("a",)),
        ({}, {"NAME": "2"}, ("a",)),
        ({}, {"E": "2"}, ("b",)),
        ({"stacks/c.yaml": "services: {c: {image: i}}\n"}, {}, ("c",)),
    ],
)
def test_only_what_changed_is_compiled(
    before: Compilation, files: dict[str, str], environment: dict[str, str], fresh: tuple[str, ...]
) -> None:
    assert loaded_again(before, files, **environment) == fresh


def test_a_variable_that_is_gone_counts_as_changed() -> None:
    before = load_again(revision(FILES), inputs(TAG="2"), None)
    assert loaded_again(before, {}) == ("a",)


def test_warnings_of_a_stack_that_is_not_compiled_are_told_again(before: Compilation) -> None:
    after = load_again(revision(FILES), inputs(), before)
    assert [warning.place.key_path for warning in after.state.warnings if warning.place] == ["services.a.restart"]


def test_a_broken_stack_is_compiled_each_time(before: Compilation) -> None:
    broken = {**FILES, "stacks/a.yaml": "services: {a: {image: I}}\n"}
    for _ in range(2):
        with pytest.raises(SwarmctlError):
            load_again(revision(broken), inputs(), before)


def test_a_file_that_is_gone_is_told(before: Compilation) -> None:
    files = {path: text for path, text in FILES.items() if path != "stacks/s.txt"}
    with pytest.raises(SwarmctlError) as caught:
        load_again(revision(files), inputs(), before)
    assert [str(problem.place) for problem in caught.value.problems] == ["stacks/b.yaml:2:21"]


def test_another_schema_compiles_all_anew(before: Compilation) -> None:
    other = inputs()
    schemas = dataclasses.replace(other.schemas, stack={**other.schemas.stack, "title": "Another"})
    assert load_again(revision(FILES), replace(other, schemas=schemas), before).fresh == ("a", "b")


def test_a_compilation_that_went_through_a_pickle_serves_the_next_load(before: Compilation) -> None:
    copy = pickle.loads(pickle.dumps(before))
    assert copy.state == before.state
    assert loaded_again(copy, {}) == ()
    assert loaded_again(copy, {"stacks/s.txt": "new"}) == ("b",)


def test_two_revisions_of_one_repository_are_loaded_side_by_side(before: Compilation) -> None:
    """What `diff --base --head` does: stacks that both have in common are compiled once."""
    head = {**FILES, "stacks/a.yaml": FILES["stacks/a.yaml"].replace("env_file", "user: u, env_file")}
    after = load_again(revision(head), inputs(), before)
    assert after.fresh == ("a",)
    [old], [new] = ([one for one in state.objects if one.name == "a_a"] for state in (before.state, after.state))
    path = "TaskTemplate.ContainerSpec.User"
    assert (str(new.place_of(path)), old.place_of(path)) == ("stacks/a.yaml:1:38", old.place)
