"""Each kind of bad input gives a stable code, the place, a reason or hint; and all are told at once."""

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


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ("deploy: {replicas: many}", "Write a whole number in digits, such as 3."),
        ('deploy: {replicas: "1.5"}', "Write a whole number in digits, such as 3."),
        ("deploy: {replicas: 1.5}", "Write a whole number in digits, such as 3."),
        ('deploy: {replicas: "0x10"}', "Remove the quotes."),
        ("deploy: {replicas: -1}", "Raise it to 0 or more."),
        ("deploy: {replicas: !foo 3}", "Remove the tag `!foo`."),
        ("read_only: !!str true", "Remove the tag `!!str`."),
        ("stop_grace_period: 5", "Write it with a unit: 5s."),
        ("stop_grace_period: soon", "Write numbers with units, such as 30s or 1m30s."),
        ("deploy: {resources: {limits: {memory: lots}}}", "Write a number and a unit, such as 512M."),
        ("deploy: {resources: {limits: {memory: 512}}}", "Write a number and a unit, such as 512M."),
        ("logging: []", "Write lines of `key: value` below it, with keys such as `driver`, `options`."),
        ("deploy: {mode: x}", "Write replicated, global, replicated-job or global-job."),
        ("deploy: {restart_policy: {delay: -1s}}", "Remove the minus sign."),
        ("deploy: {update_config: {failure_action: roll}}", "Did you mean `rollback`?"),
        (
            "deploy: {resources: {limits: {memory: 4K}}}",
            "Raise it to 4M or more; bare numbers are bytes.",
        ),
        ("volumes: [data:/data]", "Declare it under a top-level `volumes:`."),
    ],
)
def test_a_wrong_value_has_a_reason_and_a_hint_that_fits_it(keys: str, hint: str) -> None:
    problem = service_problem(keys)
    assert problem.hint == hint
    assert problem.why


def test_a_tag_that_makes_a_text_is_the_reason_of_a_wrong_type() -> None:
    problem = service_problem("deploy: {replicas: !count 3}")
    assert problem.why == 'Here it is the string "3", which the tag `!count` makes of it.'


def test_a_short_mount_of_an_undefined_volume_names_the_volume_only() -> None:
    assert '"data",' in service_problem("volumes: [data:/data:ro]").what
    hidden = service_problem('volumes: ["${NAME}:/data"]', NAME="hunter2")
    assert "hunter2" not in f"{hidden}"


def test_an_unknown_key_suggests_the_near_one() -> None:
    problem = service_problem("enviroment: {A: b}")
    assert problem.code is ErrorCode.UNKNOWN_KEY
    assert problem.why == "The format has no such key here."
    assert "`environment`" in problem.hint
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (4, 5)


@pytest.mark.parametrize(
    ("key", "hint"),
    [("profiles: [x]", "stack file"), ("platform: linux/arm64", "placement"), ("runtime: runc", "daemon.json")],
)
def test_a_key_of_other_tools_says_what_to_write_instead(key: str, hint: str) -> None:
    problem = service_problem(key)
    assert problem.code is ErrorCode.UNKNOWN_KEY
    assert hint in problem.hint


@pytest.mark.parametrize("key", ["name: x", "include: [x]"])
def test_top_level_keys_of_other_tools_have_a_hint(key: str) -> None:
    problem = the_problem(f"{key}\nservices: {{}}\n")
    assert problem.code is ErrorCode.UNKNOWN_KEY
    assert problem.hint


@pytest.mark.parametrize(
    "key",
    ["extends", "volume_driver", "volumes_from", "cpu_quota", "cpu_shares", "cpuset", "mem_limit", "memswap_limit"],
)
def test_a_forbidden_key_says_what_to_write_instead(key: str) -> None:
    problem = service_problem(f"{key}: x")
    assert problem.code is ErrorCode.UNSUPPORTED_KEY
    assert problem.hint


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ("user: 1000", '"1000"'),
        ("attach: 1", ""),
        ("command:", "Give it a value"),
        ("depends_on: {b: {condition: service_started}}", "Write a list"),
        ("init: yes", "true or false"),
        ("deploy: {replicas: '2'}", "Remove the quotes"),
        ("environment: {DEBUG: true}", '"true"'),
        ("deploy: {resources: {limits: {cpus: 1.10}}}", '"1.10"'),
    ],
)
def test_a_wrong_type_has_a_hint(keys: str, hint: str) -> None:
    problem = service_problem(keys)
    assert problem.code in (ErrorCode.WRONG_TYPE, ErrorCode.UNKNOWN_KEY)
    assert hint in problem.hint


@pytest.mark.parametrize(
    "keys",
    [
        "stop_grace_period: 10",
        "stop_grace_period: 1d",
        "ports: ['80:81:82:83']",
        "ports: ['70000']",
        "ports: ['8000-8002:80-81']",
        "ports: ['80:80', '80:90']",
        "volumes: ['/a::/b']",
        "volumes: ['/a:/x', '/b:/x']",
        "volumes: [{type: bind, target: /x}]",
        "volumes: [{type: tmpfs, source: x, target: /x}]",
        "command: 'echo \"x'",
        "cap_add: [A, A]",
        "healthcheck: {test: x, disable: true}",
        "restart: sometimes",
        "deploy: {mode: everywhere}",
        "deploy: {mode: global, replicas: 2}",
        "deploy: {replicas: -1}",
        "deploy: {endpoint_mode: fast}",
        "deploy: {resources: {limits: {cpus: '50%'}}}",
        "deploy: {resources: {limits: {memory: 1k}}}",
        "deploy: {resources: {limits: {memory: '-1'}}}",
        "deploy: {placement: {constraints: ['node.role=manager']}}",
        "deploy: {update_config: {order: sideways}}",
        "deploy: {update_config: {max_failure_ratio: 2}}",
        "credential_spec: {file: a, registry: b}",
    ],
)
def test_a_value_that_makes_no_sense_has_its_place(keys: str) -> None:
    problem = service_problem(keys)
    assert problem.code in (ErrorCode.INVALID_VALUE, ErrorCode.WRONG_TYPE)
    assert problem.place is not None
    assert problem.place.line == 4
    assert problem.place.key_path.startswith("services.a.")


@pytest.mark.parametrize("image", ["Nginx", "a b", "nginx:", "_x", "a" * 300, "0" * 64, "x@sha256:12", "a//b"])
def test_an_image_that_is_no_reference_is_refused(image: str) -> None:
    assert the_problem(f"services: {{a: {{image: '{image}'}}}}").code is ErrorCode.INVALID_VALUE


def test_a_service_without_an_image_is_told_at_its_key() -> None:
    problem = the_problem("services:\n  a:\n    command: x\n")
    assert problem.code is ErrorCode.MISSING_KEY
    assert str(problem.place) == "web.yaml:2:3"


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ("networks: [fornt]", "services.a.networks[0]"),
        ("networks: {fornt: {}}", "services.a.networks.fornt"),
        ("secrets: [fornt]", "services.a.secrets[0]"),
        ("configs: [{source: fornt}]", "services.a.configs[0].source"),
        ("volumes: ['fornt:/x']", "services.a.volumes[0]"),
        ("volumes: [{type: volume, source: fornt, target: /x}]", "services.a.volumes[0].source"),
    ],
)
def test_an_undefined_reference_suggests_the_near_name(keys: str, place: str) -> None:
    rest = """
        networks: {front: {}}
        volumes: {front: {}}
        secrets: {front: {external: true}}
        configs: {front: {external: true}}
    """
    problem = service_problem(keys, rest)
    assert problem.code is ErrorCode.UNDEFINED_REFERENCE
    assert "`front`" in problem.hint
    assert problem.place is not None
    assert problem.place.key_path == place


@pytest.mark.parametrize("version", ["'2.4'", "'3.14'", "'4'", "'3.8.1'"])
def test_a_version_that_swarm_never_had_is_refused(version: str) -> None:
    assert the_problem(f"version: {version}\nservices: {{}}\n").code is ErrorCode.UNSUPPORTED_VERSION


def test_an_unquoted_version_is_told_to_be_quoted() -> None:
    problem = the_problem("version: 3.10\nservices: {}\n")
    assert problem.code is ErrorCode.WRONG_TYPE
    assert '"3.10"' in problem.hint


def test_a_key_that_is_newer_than_the_version_says_so() -> None:
    problem = the_problem("version: '3.6'\nservices: {a: {image: i, init: true}}\n")
    assert problem.code is ErrorCode.UNKNOWN_KEY
    assert "3.7" in problem.hint


@pytest.mark.parametrize("text", ["$", "${A", "${1}", "$(x)", "${A?no}", "${A:?no}"])
def test_a_variable_that_cannot_be_filled_in_is_told(text: str) -> None:
    problem = service_problem(f"hostname: '{text}'")
    assert problem.code is ErrorCode.BAD_INTERPOLATION
    assert problem.place is not None
    assert problem.place.key_path == "services.a.hostname"


@pytest.mark.parametrize(
    ("text", "warns"), [("${A:-${B}}", True), ("x${A-${B:-c}}y", True), ("${A:-b}${C}", False), ("$${A:-${B}}", False)]
)
def test_a_default_that_docker_does_not_fill_in_is_warned_of(text: str, warns: bool) -> None:
    warnings = stack(f"services: {{a: {{image: i, hostname: '{text}'}}}}").warnings
    assert [(one.code, one.place and one.place.line) for one in warnings] == (
        [(ErrorCode.BAD_INTERPOLATION, 1)] if warns else []
    )


@pytest.mark.parametrize(
    ("volume", "warns"), [("v:/v", True), ("v:/v:ro", True), ("vv:/v", False), ("w:/v", False), ("/v", False)]
)
def test_a_volume_that_docker_takes_for_a_drive_of_windows_is_warned_of(volume: str, warns: bool) -> None:
    warnings = stack(f"services: {{a: {{image: i, volumes: ['{volume}']}}}}\nvolumes: {{v: , vv: }}\n").warnings
    assert [one.what for one in warnings] == (
        ["`services.a.volumes[0]` does not mount the volume `v`."] if warns else []
    )


def test_a_variable_of_the_wrong_type_is_told_once_and_without_its_value() -> None:
    problem = service_problem("deploy: {replicas: '${N}'}", N="hunter2")
    assert problem.code is ErrorCode.BAD_INTERPOLATION
    assert "hunter2" not in f"{problem}"


def test_no_message_repeats_what_a_variable_stands_for() -> None:
    for keys in (
        "image: $V",
        "stop_grace_period: $V",
        "ports: [$V]",
        "volumes: ['$V::']",
        "networks: [$V]",
        "env_file: [$V/..]",
    ):
        image = "" if keys.startswith("image") else "image: i, "
        text = f"services: {{a: {{{image}{keys}}}}}"
        found = stack_problems(text, V="Hunter 2")
        assert not any("Hunter" in problem.what + problem.why + problem.hint for problem in found)


def test_an_env_file_line_is_not_repeated() -> None:
    text = "services: {a: {image: i, env_file: x.env}}"
    for line in ("export PASSWORD=hunter2", "=hunter2", "hunter2 x"):
        [problem] = stack_problems(text, {"x.env": f"A=b\n{line}\n"})
        assert problem.code is ErrorCode.INVALID_VALUE
        assert "line 2" in problem.why
        assert "hunter2" not in f"{problem}"


def test_two_stacks_with_one_object_name_both_places() -> None:
    shared = "services: {a: {image: i, networks: [n]}}\nnetworks:\n  n: {name: shared}\n"
    [problem] = problems({"stacks/one.yaml": shared, "stacks/two.yaml": shared})
    assert problem.code is ErrorCode.DUPLICATE_OBJECT
    assert "stacks/one.yaml:3:3" in problem.what
    assert "stacks/two.yaml:3:3" in problem.what


def test_a_stack_and_swarm_yaml_with_one_network_name_both_places() -> None:
    text = "services: {a: {image: i, networks: [n]}}\nnetworks:\n  n: {name: public}\n"
    [problem] = problems({"swarm.yaml": CLUSTER + "spec: {networks: {public: {}}}\n", "stacks/one.yaml": text})
    assert problem.code is ErrorCode.DUPLICATE_OBJECT
    assert "swarm.yaml" in problem.why


def test_two_services_whose_full_names_meet_are_told() -> None:
    [problem] = problems(
        {
            "stacks/a.yaml": "services: {b_c: {image: i, networks: [host]}}\nnetworks: {host: {external: true}}",
            "stacks/a_b.yaml": "services: {c: {image: i, networks: [host]}}\nnetworks: {host: {external: true}}",
        }
    )
    assert problem.code is ErrorCode.DUPLICATE_OBJECT
    assert "a_b_c" in problem.what
    assert problem.why == "Both the stack a and the stack a_b would make it their own."


def test_two_names_that_differ_in_capitals_only_are_one_to_swarm() -> None:
    [problem] = problems({"stacks/a.yaml": "services: {}\nconfigs: {c: {file: ./f}, C: {file: ./f}}", "stacks/f": "x"})
    assert problem.code is ErrorCode.DUPLICATE_OBJECT
    assert problem.what.endswith("which is the same name to Swarm.")


def test_two_stacks_of_one_name_are_told() -> None:
    spec = "spec: {stacks: [{path: a.yaml}, {path: b.yaml, name: a}]}"
    [problem] = problems({"swarm.yaml": CLUSTER + spec, "a.yaml": "services: {}", "b.yaml": "services: {}"})
    assert problem.code is ErrorCode.DUPLICATE_OBJECT


def test_a_node_listed_twice_is_told() -> None:
    [problem] = problems(
        {"swarm.yaml": CLUSTER + "spec:\n  nodes:\n    - hostname: n\n    - {hostname: n, role: worker}\n"}
    )
    assert problem.code is ErrorCode.DUPLICATE_OBJECT
    assert "line 6" in problem.what
    assert "line 7" in problem.what


def test_an_unknown_dependency_suggests_the_near_stack() -> None:
    spec = "spec: {stacks: [{path: web.yaml, dependsOn: [bd]}, {path: db.yaml}]}"
    [problem] = problems({"swarm.yaml": CLUSTER + spec, "web.yaml": "services: {}", "db.yaml": "services: {}"})
    assert problem.code is ErrorCode.UNDEFINED_REFERENCE
    assert "`db`" in problem.hint


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [({"a": "a"}, "a -> a"), ({"a": "b", "b": "a"}, "a -> b -> a"), ({"a": "b", "b": "c", "c": "b"}, "b -> c -> b")],
)
def test_a_cycle_of_dependencies_shows_its_path(edges: dict[str, str], cycle: str) -> None:
    stacks = ", ".join(f"{{path: {name}.yaml, dependsOn: [{other}]}}" for name, other in edges.items())
    files = {f"{name}.yaml": "services: {}" for name in edges}
    [problem] = problems({"swarm.yaml": CLUSTER + f"spec: {{stacks: [{stacks}]}}", **files})
    assert problem.code is ErrorCode.DEPENDENCY_CYCLE
    assert cycle in problem.what


@pytest.mark.parametrize("name", ["my.stack", "-a", "a b", "x" * 64])
def test_a_stack_name_that_no_service_could_carry_is_refused(name: str) -> None:
    found = problems({f"stacks/{name}.yaml": "services: {}"})
    assert [problem.code for problem in found] == [ErrorCode.INVALID_VALUE]


def test_a_service_name_that_is_too_long_is_refused() -> None:
    problem = the_problem(f"services: {{{'a' * 62}: {{image: i}}}}")
    assert problem.code is ErrorCode.INVALID_VALUE
    assert "63" in problem.why


@pytest.mark.parametrize(
    "spec",
    [
        "settings: {heartbeatPeriod: soon}",
        "settings: {heartbeatPeriod: 5}",
        "settings: {heartbeatPeriod: 0s}",
        "settings: {certExpiry: 5m}",
        "settings: {taskHistoryLimit: -2}",
        "joinTokens: {worker: {rotateEvery: 0s}}",
        "networks: {n: {subnet: 10.0.0.0}}",
        "networks: {n: {gateway: x}}",
        "networks: {n: {subnet: 10.0.9.5/24}}",
        "networks: {n: {subnet: fd00::1/64}}",
        "networks: {n: {subnet: 10.0.9.0/24, gateway: 10.0.8.1}}",
        "networks: {n: {subnet: 10.0.9.0/24, gateway: fd00::1}}",
        "networks: {n: {gateway: 10.0.8.1}}",
        "networks: {n: {ipRange: 10.0.8.0/25}}",
        "networks: {n: {subnet: 10.0.9.0/24, ipRange: 10.0.8.0/25}}",
        "networks: {n: {subnet: 10.0.9.0/24, ipRange: 10.0.0.0/16}}",
        "networks: {n: {subnet: 10.0.9.0/24, ipRange: fd00::/64}}",
        "networks: {n: {ipam: {config: [{subnet: 10.0.8.0/24}, {subnet: 10.0.9.0/24, gateway: 10.0.8.1}]}}}",
        "policy: {drift: maybe}",
        "policy: {maxDeletePercent: 101}",
        "policy: {keepVersions: -1}",
        "policy: {keepVersions: many}",
        "policy: {keepVersions: 1.5}",
        "policy: {keep_versions: 1}",
        "nodes: [{hostname: a, state: gone}]",
        "nodes: [{hostname: a, state: absent, role: worker}]",
        "nodes: [{hostname: a, state: absent, availability: drain}]",
        "nodes: [{id: a, state: absent, labels: {}}]",
        "nodes: [{state: absent}]",
        "networks: {n: {prune: 'no'}}",
        "nodes: [{role: worker}]",
        "nodes: [{hostname: a, role: true}]",
        "nodes: [{hostname: a, role: Worker}]",
        "nodes: [{hostname: a, id: b}]",
        "nodes: [{hostname: a, labels: {x: true}}]",
        "stacks: [{name: x}]",
    ],
)
def test_swarm_yaml_is_checked_by_value(spec: str) -> None:
    found = problems({"swarm.yaml": CLUSTER + f"spec:\n  {spec}\n"})
    assert len(found) == 1
    assert found[0].place is not None
    assert found[0].place.line == 5
    assert found[0].why
    assert found[0].hint


def test_sound_pools_of_addresses_are_taken() -> None:
    pools = "{subnet: 10.0.9.0/24, gateway: 10.0.9.254, ipRange: 10.0.9.128/25}, {subnet: fd00::/64, gateway: fd00::1}"
    spec = f"spec: {{networks: {{n: {{ipam: {{config: [{pools}]}}}}}}}}\n"
    assert len(loaded({"swarm.yaml": CLUSTER + spec}).objects) == 1


def test_an_address_in_place_of_a_subnet_is_answered_with_the_subnet() -> None:
    [problem] = problems({"swarm.yaml": CLUSTER + "spec: {networks: {n: {subnet: 10.0.9.5/24}}}\n"})
    assert problem.hint == "Write 10.0.9.0/24."


def test_an_empty_or_oversized_secret_is_refused_without_its_content() -> None:
    for content in (b"", b"x" * 512_000):
        [problem] = stack_problems("secrets: {x: {file: x.txt}}", {"x.txt": content})
        assert problem.code is ErrorCode.INVALID_VALUE


def test_ranges_of_ports_have_a_limit() -> None:
    assert service_problem("ports: ['1-60000']").code is ErrorCode.INVALID_VALUE


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


def test_a_broken_key_hides_no_other_problem_of_its_service() -> None:
    text = """\
services:
  api:
    image: NGINX
    replica: 3
    networks: [frnt]
    deploy: {replicas: "three"}
    secrets: [nope]
    volumes: ["data:/x"]
networks: {front: {}}
"""
    codes = [(one.code, one.place.line if one.place else 0) for one in stack_problems(text)]
    assert codes == [
        (ErrorCode.INVALID_VALUE, 3),
        (ErrorCode.UNKNOWN_KEY, 4),
        (ErrorCode.UNDEFINED_REFERENCE, 5),
        (ErrorCode.WRONG_TYPE, 6),
        (ErrorCode.UNDEFINED_REFERENCE, 7),
        (ErrorCode.UNDEFINED_REFERENCE, 8),
    ]
