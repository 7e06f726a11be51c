"""Files that are missing, elsewhere or no YAML give a stable code, the place, a reason or hint; all at once."""

from __future__ import annotations

import pytest

from reconciler.manifests.load import load
from reconciler.manifests.problems import PROBLEMS_MAX
from reconciler.model.errors import ErrorCode, Severity, SwarmctlError
from tests.unit.manifests.builders import (
    CLUSTER,
    inputs,
    loaded,
    problems,
    revision,
    service_problem,
    stack,
    stack_problems,
    the_problem,
)


def test_all_problems_of_all_files_are_told_by_file_and_line() -> None:
    found = problems(
        {
            "swarm.yaml": CLUSTER + "spec:\n  nodes: [{hostname: n, role: boss}]\n  colour: red\n",
            "stacks/b.yaml": "services:\n  a: {image: i, ports: x}\n  b: {image: i, networks: [nope]}\n",
            "stacks/a.yaml": "services: [",
        }
    )
    assert [(problem.place.file, problem.place.line, problem.code) for problem in found if problem.place] == [
        ("stacks/a.yaml", 1, "yaml-syntax"),
        ("stacks/b.yaml", 2, "wrong-type"),
        ("stacks/b.yaml", 3, "undefined-reference"),
        ("swarm.yaml", 5, "invalid-value"),
        ("swarm.yaml", 6, "unknown-key"),
    ]


def test_a_folder_without_swarm_yaml_is_told() -> None:
    with pytest.raises(SwarmctlError) as caught:
        load(revision({"stacks/a.yaml": "services: {}"}), inputs())
    assert caught.value.code is ErrorCode.FILE_NOT_FOUND
    assert str(caught.value) == "There is no swarm.yaml in the folder `memory`."


def test_both_spellings_of_swarm_yaml_are_one_too_many() -> None:
    [problem] = problems({"swarm.yml": CLUSTER})
    assert problem.code is ErrorCode.DUPLICATE_OBJECT


def test_a_missing_stack_file_is_told_where_it_is_named() -> None:
    [problem] = problems({"swarm.yaml": CLUSTER + "spec:\n  stacks:\n    - path: nope.yaml\n"})
    assert problem.code is ErrorCode.FILE_NOT_FOUND
    assert problem.place is not None
    assert (problem.place.line, problem.place.column, problem.place.key_path) == (6, 13, "spec.stacks[0].path")


@pytest.mark.parametrize("path", ["../x.yaml", "/x.yaml", "a/../../x.yaml", "~/x.yaml", "..", '"a\\0b"'])
def test_a_stack_path_that_leaves_the_repository_is_refused(path: str) -> None:
    [problem] = problems({"swarm.yaml": CLUSTER + f"spec: {{stacks: [{{path: {path}, name: x}}]}}"})
    assert problem.code is ErrorCode.PATH_ESCAPES


@pytest.mark.parametrize("section", ["secrets", "configs"])
@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "~/x", "a/../../x"])
def test_a_content_path_that_leaves_the_repository_is_refused(section: str, path: str) -> None:
    problem = the_problem(f"{section}:\n  x: {{file: {path}}}\n")
    assert problem.code is ErrorCode.PATH_ESCAPES
    assert problem.place is not None
    assert problem.place.key_path == f"{section}.x.file"


def test_an_env_file_outside_the_repository_is_refused() -> None:
    assert service_problem("env_file: ../x.env").code is ErrorCode.PATH_ESCAPES


def test_a_missing_secret_file_is_told_at_its_reference() -> None:
    problem = the_problem("secrets:\n  x:\n    file: nope.txt\n")
    assert problem.code is ErrorCode.FILE_NOT_FOUND
    assert str(problem.place) == "web.yaml:3:11"


def test_a_file_over_the_limit_is_refused() -> None:
    assert the_problem(b"a" * (4 * 1024 * 1024 + 1)).code is ErrorCode.FILE_TOO_LARGE


def test_text_that_is_not_utf8_is_refused_with_its_place() -> None:
    problem = the_problem(b"services:\n  a: {image: \xff}")
    assert problem.code is ErrorCode.NOT_UTF8
    assert str(problem.place) == "web.yaml:2:14"


def test_a_byte_order_mark_is_no_problem() -> None:
    assert stack(b"\xef\xbb\xbfservices: {a: {image: i}}").objects


@pytest.mark.parametrize("text", ["", "# nothing", "[]", "x", "5"])
def test_a_stack_file_must_be_a_mapping(text: str) -> None:
    assert the_problem(text).code is ErrorCode.WRONG_TYPE


@pytest.mark.parametrize("text", ["", "[]", "x", "a: [1"])
def test_swarm_yaml_must_be_a_mapping(text: str) -> None:
    [problem] = problems({"swarm.yaml": text})
    assert problem.code in (ErrorCode.WRONG_TYPE, ErrorCode.YAML_SYNTAX)


FURTHER = [("---\nb: 1\n", 1), ("...\nb: 1\n", 2), ("---\n---\n[oops\n", 2), ("--- &x {a: *x}\n", 1)]


@pytest.mark.parametrize("first", ["{}", "{x-a: &a 1, x-b: *a}"])
@pytest.mark.parametrize(("rest", "line"), FURTHER)
def test_a_second_document_in_swarm_yaml_is_an_error_where_it_starts(first: str, rest: str, line: int) -> None:
    text = CLUSTER + f"spec: {first}\n"
    [problem] = problems({"swarm.yaml": text + rest})
    assert problem.code is ErrorCode.INVALID_VALUE
    assert problem.place is not None
    assert problem.place.line == text.count("\n") + line


@pytest.mark.parametrize("first", ["image: i", "image: &i i, hostname: *i"])
@pytest.mark.parametrize(("rest", "line"), FURTHER)
def test_a_second_document_in_a_stack_file_is_a_warning_of_ours(first: str, rest: str, line: int) -> None:
    state = stack(f"services: {{a: {{{first}}}}}\n" + rest)
    [warning] = state.warnings
    assert warning.severity is Severity.WARNING
    assert warning.docker == ""
    assert warning.place is not None
    assert warning.place.line == 1 + line


@pytest.mark.parametrize("rest", ["---\n", "...\n", "---\n---\n", "--- # nothing\n"])
def test_an_empty_further_document_is_not_worth_a_word(rest: str) -> None:
    assert not stack("---\nservices: {a: {image: i}}\n" + rest).warnings


def test_a_duplicate_key_names_both_lines() -> None:
    problem = the_problem("services:\n  a: {image: i}\n  b: {image: i}\n  a: {image: j}\n")
    assert problem.code is ErrorCode.YAML_DUPLICATE_KEY
    assert "line 2" in problem.what
    assert "line 4" in problem.what
    assert problem.place is not None
    assert problem.place.line == 4


def test_an_alias_bomb_is_refused_before_it_is_followed() -> None:
    lines = ["x-a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for name, before in zip("bcdefghijklmnop", "abcdefghijklmno", strict=True):
        lines.append(f"x-{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    assert the_problem("\n".join(lines)).code is ErrorCode.YAML_TOO_COMPLEX


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert the_problem(text).code in (ErrorCode.YAML_TOO_COMPLEX, ErrorCode.YAML_SYNTAX)


def test_depth_hidden_behind_aliases_is_refused() -> None:
    lines = ["x-0: &a0 [[[[[[[[[[1]]]]]]]]]]"]
    lines += [f"x-{n}: &a{n} [[[[[[[[[[*a{n - 1}]]]]]]]]]]" for n in range(1, 200)]
    assert the_problem("\n".join(lines)).code is ErrorCode.YAML_TOO_COMPLEX


@pytest.mark.parametrize(
    "text", ["a: *b", "a: &a [*a]", "a: b: c", "a: 'x", "a:\n\t- b", "a: \x01", "%YAML 9.9\n---\n"]
)
def test_text_that_is_no_yaml_is_refused(text: str) -> None:
    problem = the_problem(text)
    assert problem.code is ErrorCode.YAML_SYNTAX
    assert problem.why
    assert problem.hint


HINTS = [
    ("a: *b", "no anchors before it"),
    ("x-ab: &one 1\na: *onee", "Did you mean `one`?"),
    ("a: &a [*a]", "Remove the alias"),
    ("a:\n\t- b", "no tabs"),
    ("a: \x01", "Remove the character"),
    ("a: 'x", "quotes"),
    ("[" * 200, "Nest the values less"),
]


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_the_hint_is_about_what_is_wrong(text: str, hint: str) -> None:
    assert hint in the_problem(text).hint


def test_what_nobody_closes_is_told_with_its_beginning() -> None:
    problem = the_problem("services:\n  a: {image: i,\n   k: [x\n")
    assert "starts at 3:7" in problem.why


def test_a_file_whose_name_is_no_utf_8_is_an_error_of_the_name() -> None:
    name = b"stacks/b\xff.yaml".decode("utf-8", "surrogateescape")
    text = "services: {a: {image: i, networks: [n], configs: [c]}}\nnetworks: {n: }\nconfigs: {c: {file: ./c}}\n"
    found = problems({name: text, "stacks/c": "x"})
    assert {problem.code for problem in found} == {ErrorCode.INVALID_VALUE}
    assert "stack name" in found[0].what
    assert "service" not in "".join(problem.what for problem in found)


@pytest.mark.parametrize("key", ["8080", "true", "~", "2001-01-01", "1.5", "[a]", "{a: b}"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    found = stack_problems(f"services:\n  a: {{image: i}}\nx-a:\n  ? {key}\n  : 1\n")
    assert [problem.code for problem in found] == [ErrorCode.WRONG_TYPE]


def test_a_hostile_file_is_told_of_with_a_limit() -> None:
    keys = "\n".join(f"key{n}: 1" for n in range(PROBLEMS_MAX * 2))
    assert len(stack_problems(keys)) == PROBLEMS_MAX


def test_what_docker_ignores_is_a_warning_with_a_place() -> None:
    state = stack("services:\n  a:\n    image: i\n    build: .\n    container_name: x\n    secrets: []\n")
    assert [(str(warning.place), warning.severity) for warning in state.warnings] == [
        ("web.yaml:4:5", Severity.WARNING),
        ("web.yaml:5:5", Severity.WARNING),
    ]


def test_extension_sections_are_accepted() -> None:
    text = "x-team: {anything: [1]}\nservices: {a: {image: i, x-team: {b: 1}}}\n"
    assert not stack(text).warnings
    assert loaded({"swarm.yaml": CLUSTER + "x-note: hello\n"}).cluster == "test"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n", "Git LFS"),
        (b"\0GITCRYPT\0" + bytes(range(40)), "git-crypt"),
    ],
)
@pytest.mark.parametrize(
    "text",
    ["configs: {x: {file: x.txt}}", "secrets: {x: {file: x.txt}}", "services: {a: {image: i, env_file: x.txt}}"],
)
def test_what_git_keeps_in_place_of_a_file_is_given_to_no_task(text: str, content: bytes, named: str) -> None:
    [problem] = stack_problems(text, {"x.txt": content})
    assert problem.code is ErrorCode.FILE_UNREADABLE
    assert named in problem.why
    assert problem.place is not None
    assert problem.place.line == 1


def test_a_file_that_only_speaks_of_git_lfs_is_itself() -> None:
    text = "version https://git-lfs.github.com/spec/v1\n" + "# how our files are kept\n" * 50
    assert not stack("configs: {x: {file: x.txt}}", {"x.txt": text}).warnings
