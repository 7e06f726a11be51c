"""Keys, values, references and variables of a stack file that are wrong: the code, the place, and a fitting hint."""

from __future__ import annotations

import pytest

from reconciler.model.errors import ErrorCode
from tests.unit.manifests.builders import (
    service_problem,
    stack,
    stack_problems,
    the_problem,
)


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


NETWORK = "services: {web: {image: nginx, networks: [n]}}\nnetworks: {n: {external: true, name: %s}}\n"


@pytest.mark.parametrize("name", ["ingress", "none", "default", "container:abc"])
def test_an_engines_own_network_that_takes_no_service_is_refused_and_not_only_by_the_swarm(name: str) -> None:
    (problem,) = stack_problems(NETWORK % name)
    assert problem.what == f"A service cannot attach to the network `{name.partition(':')[0]}`."
    assert problem.place is not None
    assert problem.place.line == 2
    assert problem.why
    assert problem.hint


@pytest.mark.parametrize("name", ["host", "bridge"])
def test_those_that_swarm_has_for_services_are_taken(name: str) -> None:
    assert stack(NETWORK % name)


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


def test_an_empty_or_oversized_secret_is_refused_without_its_content() -> None:
    for content in (b"", b"x" * 512_000):
        [problem] = stack_problems("secrets: {x: {file: x.txt}}", {"x.txt": content})
        assert problem.code is ErrorCode.INVALID_VALUE


def test_ranges_of_ports_have_a_limit() -> None:
    assert service_problem("ports: ['1-60000']").code is ErrorCode.INVALID_VALUE


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
