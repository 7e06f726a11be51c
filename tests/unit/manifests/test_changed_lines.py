"""A field that changes is told at the very line that was changed: of each key, in one file and in the second of two."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from reconciler.manifests.load import load_stack_file
from reconciler.manifests.spec_path import IDENTITIES, UNNAMED
from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Change
from reconciler.planning import canonical, differ
from reconciler.planning.differ import KEYED_LISTS, changes_between
from tests.unit.manifests.builders import SCHEMAS, inputs, revision, stack
from tests.unit.manifests.every_key import FILES, STACK


@dataclass(frozen=True)
class Edit:
    """One line with another value. `line` is where the changed field must be found."""

    name: str
    text: str
    line: int


def edits(text: str) -> Iterator[Edit]:
    """Every line that has a mark with its new value; below a key marked `#^` the key's line stands for all items."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if "  #> " not in line:
            continue
        written, _, new = line.partition("  #> ")
        head = written[: written.index("- ") + 2] if written.lstrip().startswith("- ") else ""
        rest = written[len(head) :]
        key = re.match(r" *[\w.-]+: ", rest)
        changed = head + (key[0] if key else "") + new
        above = lines[number - 2 :: -1] if number > 1 else []
        indent = len(line) - len(line.lstrip())
        owner = next((each for each in above if len(each) - len(each.lstrip()) < indent), "")
        spot = lines.index(owner) + 1 if owner.endswith("#^") and lines.count(owner) == 1 else number
        if owner.endswith("#^") and lines.count(owner) > 1:
            spot = number - 1 - above.index(owner)
        yield Edit(f"{number}: {line.strip()}", "\n".join([*lines[: number - 1], changed, *lines[number:]]), spot)


EDITS = tuple(edits(STACK))


def spec_of(wanted: DesiredObject) -> JsonObject:
    """The spec as planning compares it."""
    if wanted.kind is Kind.SERVICE:
        return canonical.service(wanted.spec, networks={}, secrets={}, configs={})
    if wanted.kind is Kind.NETWORK:
        return canonical.network(wanted.spec) | {"EnableIPv6": wanted.spec.get("EnableIPv6")}
    return canonical.content(wanted.spec) | {"Data": wanted.spec.get("Data")}


def changes(before: DesiredState, after: DesiredState) -> list[tuple[DesiredObject, Change]]:
    """All fields that differ between two states, each with its object of the later state."""
    known = {(each.kind, each.name): spec_of(each) for each in before.objects}
    return [
        (wanted, change)
        for wanted in after.objects
        for change in changes_between(known[wanted.kind, wanted.name], spec_of(wanted))
    ]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_a_changed_line_is_where_its_fields_are_found(edit: Edit) -> None:
    assert_found(stack(STACK, FILES), stack(edit.text, FILES), edit, "web.yaml")


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_the_same_in_the_second_of_two_files(edit: Edit) -> None:
    first = "services: {web: {image: other, environment: {FIRST: x}}}"

    def both(text: str) -> DesiredState:
        files = {"one.yaml": first, "two.yaml": text} | FILES
        return load_stack_file(revision(files), "one.yaml", "s", inputs(), ("two.yaml",))

    assert_found(both(STACK), both(edit.text), edit, "two.yaml")


def assert_found(before: DesiredState, after: DesiredState, edit: Edit, file: str) -> None:
    differing = [(wanted, change) for wanted, change in changes(before, after) if change.new is not ABSENT]
    if not differing:  # a value that canonical forms leave out is found by what it took away
        differing = changes(before, after)
        assert differing
    found = {change.path: wanted.place_of(change.path) for wanted, change in differing}
    assert {path: (place.file, place.line) for path, place in found.items()} == dict.fromkeys(found, (file, edit.line))


def test_every_key_that_means_something_is_tried() -> None:
    told = ("x-ignored", "x-deprecated", "x-unsupported")
    definitions = SCHEMAS.stack["$defs"]
    tried = {line.split("#")[0].strip().removeprefix("- ").partition(":")[0] for line in STACK.splitlines()}
    for name in ("service", "deploy", "healthcheck", "rollout", "network", "volume", "secret", "config"):
        keys = {
            key for key, schema in definitions[name]["properties"].items() if not any(mark in schema for mark in told)
        }
        assert keys - tried <= {"depends_on", "tmpfs", "external", "name", "disable", "x-cluster-spec"}


def test_items_are_told_apart_as_planning_tells_them() -> None:
    assert dict(IDENTITIES) == KEYED_LISTS
    assert dict(UNNAMED) == differ.UNNAMED
