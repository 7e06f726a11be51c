"""YAML as docker reads it: Go's yaml.v3."""

from __future__ import annotations

import pytest

from reconciler.manifests.document import Document, read_document
from reconciler.manifests.problems import ProblemList
from reconciler.manifests.yaml_scalars import Scalar, go_text, plain_scalar


def document(text: str) -> Document:
    problems = ProblemList()
    found = read_document(text.encode(), "f.yaml", problems)
    assert found is not None
    assert not problems.errors
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("~", None),
        ("NULL", None),
        ("nULL", "nULL"),
        ("12", 12),
        ("+5", 5),
        ("-5", -5),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0b101", -5),
        ("0o17", 15),
        ("0444", 292),
        ("08", 8.0),
        ("22:22", "22:22"),
        ("1.10", 1.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1e400", "1e400"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("-", "-"),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("2001-01-01", "2001-01-01 00:00:00 +0000 UTC"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.1 -0500 -0500"),
        ("2001-12-14 21:59:43", "2001-12-14 21:59:43 +0000 UTC"),
        ("2001-13-45", "2001-13-45"),
    ],
)
def test_plain_scalars_mean_what_go_takes_them_for(text: str, value: Scalar) -> None:
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.1, "1.1"),
        (1000000.0, "1e+06"),
        (123456.789, "123456.789"),
        (0.00001, "1e-05"),
        (0.0001, "0.0001"),
        (8.0, "8"),
    ],
)
def test_numbers_are_printed_as_go_prints_them(value: float, text: str) -> None:
    assert go_text(value) == text


def test_tags_decide() -> None:
    text = "[!!str 5, !!int '5', !!float 1, !foo 5, !!binary aGk=, ! 5, '5']"
    assert document(text).value == ["5", 5, 1.0, "5", "hi", 5, "5"]


def test_merges_are_shallow_and_explicit_keys_win() -> None:
    found = document(
        "a: &a {x: 1, y: {p: 1}}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: {q: 2}}\n"
        "d: {'<<': 1}\ne:\n  !!merge <<: *a\n"
    )
    assert found.value["c"] == {"y": {"q": 2}, "x": 1, "z": 2}
    assert found.value["d"] == {"<<": 1}
    assert found.value["e"] == {"x": 1, "y": {"p": 1}}


def test_only_the_first_document_is_read() -> None:
    assert document("a: 1\n---\n]]").value == {"a": 1}


def test_places_are_those_of_values_and_keys_also_through_merges() -> None:
    found = document("a: &a\n  x:\n    - 1\n    - two: 2\nb:\n  <<: *a\n")
    assert str(found.place(("a", "x", 1, "two"))) == "f.yaml:4:12"
    assert str(found.place(("b", "x", 0))) == "f.yaml:3:7"
    assert str(found.key_place(("b", "x"))) == "f.yaml:2:3"
    assert found.place(("a", "x", 1, "two")).key_path == "a.x[1].two"
    assert str(found.place(("b", "gone", "deeper"))) == "f.yaml:6:3"
