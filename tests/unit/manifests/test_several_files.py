"""A stack of several files: docker's merge, with its oddities, and places in the file that won."""

from __future__ import annotations

import textwrap

import pytest

from reconciler.manifests.load import load_stack_file
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from tests.unit.manifests.builders import inputs, loaded, problems, revision

HEAD = "services:\n  a:\n    image: i\n"


def both(base: str, override: str, **environment: str) -> DesiredState:
    """Load two files of a service `a`, each given by the keys below it."""
    files = {"a.yaml": HEAD + _indented(base), "o/b.yaml": "services:\n  a:\n" + (_indented(override) or "    {}\n")}
    return load_stack_file(revision(files), "a.yaml", "s", inputs(**environment), ("o/b.yaml",))


def _indented(keys: str) -> str:
    return textwrap.indent(textwrap.dedent(keys), "    ") + "\n" if keys else ""


def merged(base: str, override: str, **environment: str) -> JsonObject:
    """Return the create body of the service."""
    [found] = both(base, override, **environment).of_kind(Kind.SERVICE)
    return found.spec


def container(base: str, override: str, **environment: str) -> JsonObject:
    spec: JsonObject = merged(base, override, **environment)["TaskTemplate"]["ContainerSpec"]
    return spec


def the_problem(base: str, override: str) -> Problem:
    with pytest.raises(SwarmctlError) as caught:
        both(base, override)
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("key", "base", "override", "result"),
    [
        ("User", 'user: "1"', 'user: "2"', "2"),
        ("User", 'user: "1"', 'user: ""', "1"),
        ("TTY", "tty: true", "tty: false", True),
        ("Init", "init: false", "init: true", True),
        ("Init", "init: true", "init: false", True),
        ("StopGracePeriod", "stop_grace_period: 5s", "stop_grace_period: 0s", 5_000_000_000),
        ("StopGracePeriod", "{}", "stop_grace_period: 0s", 0),
        ("Args", "command: a b", "command: [c]", ["c"]),
        ("Args", "command: a b", "command: []", ["a", "b"]),
        ("CapabilityAdd", "cap_add: [A]", "cap_add: [B]", ["CAP_A", "CAP_B"]),
        ("Hosts", "extra_hosts: [z=1]", "extra_hosts: {b: '2', a: '3'}", ["1 z", "3 a", "2 b"]),
        ("Sysctls", "sysctls: [a=1, b=2]", "sysctls: {b: 3}", {"a": "1", "b": "3"}),
    ],
)
def test_one_key_of_two_files(key: str, base: str, override: str, result: object) -> None:
    base = "" if base == "{}" else base
    assert container(base, override)[key] == result


def test_the_environment_is_merged_by_name_and_an_empty_value_replaces_only_an_empty_one() -> None:
    base = "environment: [A=1, B=1, C=, D]"
    assert container(base, "environment: {A: 2, B: '', C: x, D: ''}")["Env"] == ["A=2", "B=1", "C=x", "D="]


def test_a_health_check_s_test_is_appended_as_docker_does() -> None:
    check = container("healthcheck: {test: [CMD, a], retries: 3}", "healthcheck: {test: b, retries: 0}")["Healthcheck"]
    assert check == {"Test": ["CMD", "a", "CMD-SHELL", "b"]}


def test_ports_are_merged_by_published_number_and_all_unpublished_ones_collapse() -> None:
    ports = merged('ports: ["81", "82", "443:443"]', 'ports: ["443:8443", "80:80"]')["EndpointSpec"]["Ports"]
    assert [(port.get("PublishedPort"), port["TargetPort"]) for port in ports] == [(None, 82), (80, 80), (443, 8443)]


def test_ports_of_the_base_collapse_even_when_the_override_has_none() -> None:
    ports = merged('ports: ["53:53/tcp", "53:53/udp"]', "user: u")["EndpointSpec"]["Ports"]
    assert [port["Protocol"] for port in ports] == ["udp"]


def test_ports_of_the_override_alone_are_taken_as_they_are() -> None:
    ports = merged("", 'ports: ["53:53/tcp", "53:53/udp"]')["EndpointSpec"]["Ports"]
    assert [port["Protocol"] for port in ports] == ["tcp", "udp"]


def test_logging_options_are_lost_when_the_base_has_none() -> None:
    assert merged("logging: {driver: x}", "logging: {options: {a: b}}")["TaskTemplate"]["LogDriver"] == {"Name": "x"}


def test_a_null_network_keeps_the_base_s_aliases_and_an_empty_one_drops_them() -> None:
    tail = "\nnetworks: {n: {}}\n"
    for override, aliases in (("n: null", ["x", "a"]), ("n: {}", ["a"])):
        files = {
            "a.yaml": HEAD + "    networks: {n: {aliases: [x]}}" + tail,
            "b.yaml": "services: {a: {networks: {" + override + "}}}",
        }
        state = load_stack_file(revision(files), "a.yaml", "s", inputs(), ("b.yaml",))
        [found] = state.of_kind(Kind.SERVICE)
        assert found.spec["TaskTemplate"]["Networks"] == [{"Target": "s_n", "Aliases": aliases}]


def test_replicas_of_the_override_count_even_when_0() -> None:
    assert merged("deploy: {replicas: 3}", "deploy: {replicas: 0}")["Mode"] == {"Replicated": {"Replicas": 0}}


def test_paths_of_every_file_start_from_the_first_one_s_folder() -> None:
    mounts = container('volumes: ["./x:/x"]', 'volumes: ["./y:/y"]')["Mounts"]
    assert [mount["Source"] for mount in mounts] == ["/repository/x", "/repository/y"]


@pytest.mark.parametrize(
    ("base", "override", "place"),
    [
        ('deploy: {endpoint_mode: "vip"}', "deploy: {endpoint_mode: foo}", "o/b.yaml:3:29"),
        ("deploy: {endpoint_mode: foo}", "user: u", "a.yaml:4:29"),
        ('volumes: ["/b:/b"]', 'volumes: ["q:/a", "qq:/a2"]', "o/b.yaml:3:23"),
        ("networks: [zz]", "user: u", "a.yaml:4:16"),
        ('ports: ["80:80"]', 'ports: ["81:80/foo"]', "o/b.yaml:3:13"),
    ],
)
def test_a_problem_is_placed_in_the_file_that_gave_the_value(base: str, override: str, place: str) -> None:
    assert str(the_problem(base, override).place) == place


def test_files_of_different_versions_are_refused() -> None:
    files = {"a.yaml": 'version: "3.7"\n' + HEAD, "b.yaml": 'version: "3.3"\n' + HEAD}
    with pytest.raises(SwarmctlError) as caught:
        load_stack_file(revision(files), "a.yaml", "s", inputs(), ("b.yaml",))
    [problem] = caught.value.problems
    assert (problem.code, str(problem.place)) == (ErrorCode.UNSUPPORTED_VERSION, "b.yaml:1:10")


def test_swarm_yaml_names_several_files_of_one_stack() -> None:
    cluster = (
        "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: t}\n"
        "spec: {stacks: [{files: [stacks/a.yaml, stacks/b.yaml], name: x}]}\n"
    )
    state = loaded(
        {"swarm.yaml": cluster, "stacks/a.yaml": HEAD, "stacks/b.yaml": "services: {a: {user: u}, b: {image: j}}"}
    )
    assert [wanted.name for wanted in state.of_kind(Kind.SERVICE)] == ["x_a", "x_b"]
    assert (state.stacks[0].path, state.stacks[0].overrides) == ("stacks/a.yaml", ("stacks/b.yaml",))


@pytest.mark.parametrize("stack", ["{name: x}", "{path: a.yaml, files: [b.yaml]}"])
def test_a_stack_has_a_path_or_files_and_not_both(stack: str) -> None:
    cluster = f"apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {{name: t}}\nspec: {{stacks: [{stack}]}}\n"
    [problem] = problems({"swarm.yaml": cluster, "a.yaml": HEAD, "b.yaml": HEAD})
    assert problem.code is ErrorCode.MISSING_KEY
