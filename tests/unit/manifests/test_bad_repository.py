"""Stacks that do not go together, and what is wrong in swarm.yaml: the code, and both places."""

from __future__ import annotations

import pytest

from reconciler.model.errors import ErrorCode
from tests.unit.manifests.builders import (
    CLUSTER,
    loaded,
    problems,
    the_problem,
)


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
