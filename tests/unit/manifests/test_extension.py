"""`x-swarmctl`: what compose cannot say, and files that are no stack."""

from __future__ import annotations

import textwrap

import pytest

from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from tests.unit.manifests.builders import (
    inputs,
    load_stack_file,
    loaded,
    problems,
    revision,
    service,
    service_problem,
    stack,
    the_problem,
)


def spec_of(patch: str, keys: str = ""):
    return service(keys + "x-swarmctl:\n  spec:\n" + textwrap.indent(textwrap.dedent(patch), "    "))


def test_objects_merge_deep_and_leave_their_neighbours() -> None:
    found = spec_of("TaskTemplate: {ContainerSpec: {Groups: ['7'], Init: false}}", "user: root\n")
    container = found["TaskTemplate"]["ContainerSpec"]
    assert (container["Groups"], container["Init"], container["User"]) == (["7"], False, "root")
    assert found["TaskTemplate"]["Networks"] == [{"Target": "s_default", "Aliases": ["a"]}]


def test_null_removes_and_lists_replace() -> None:
    patch = "Labels: {com.docker.stack.image: null}\nTaskTemplate: {ContainerSpec: {Env: [B=1, A=2]}}"
    found = spec_of(patch, "environment: {C: '3'}\n")
    assert found["Labels"] == {"com.docker.stack.namespace": "s"}
    assert found["TaskTemplate"]["ContainerSpec"]["Env"] == ["B=1", "A=2"]


def test_a_mode_takes_the_place_of_another() -> None:
    assert spec_of("Mode: {Replicated: null, Global: {}}")["Mode"] == {"Global": {}}


def test_a_field_that_nobody_knows_yet_is_sent() -> None:
    assert spec_of("TaskTemplate: {ContainerSpec: {FromNextYear: {A.b_c: 1}}}")["TaskTemplate"]["ContainerSpec"][
        "FromNextYear"
    ] == {"A.b_c": 1}


def test_variables_are_filled_in_as_docker_does_in_all_of_the_file() -> None:
    found = service("x-swarmctl: {spec: {Labels: {a: '$X', b: '$$X'}}}", X="1")
    assert (found["Labels"]["a"], found["Labels"]["b"]) == ("1", "$X")


def test_a_name_of_its_own_takes_the_place_of_the_stacks() -> None:
    assert spec_of("Name: other")["Name"] == "other"
    assert service_problem("x-swarmctl: {spec: {Name: 'a.b'}}").code is ErrorCode.INVALID_VALUE


def test_networks_by_extension_need_no_default_network() -> None:
    desired = stack("services: {a: {image: i, x-swarmctl: {spec: {TaskTemplate: {Networks: null}}}}}")
    assert desired.of_kind(Kind.NETWORK) == ()
    assert "Networks" not in desired.objects[0].spec["TaskTemplate"]


def test_what_an_extension_refers_to_must_exist() -> None:
    text = "services: {a: {image: i, x-swarmctl: {spec: {TaskTemplate: {Networks: [{Target: far}]}}}}}"
    [external] = stack(text).externals
    assert (external.kind, external.name, external.stack) == (Kind.NETWORK, "far", "s")


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ("Labels: [a]", "spec.Labels"),
        ("Taksk: {}", "spec.Taksk"),
        ("TaskTemplate: {ContainerSpec: {Env: {A: '1'}}}", "spec.TaskTemplate.ContainerSpec.Env"),
        ("TaskTemplate: {Restart: {}}", "spec.TaskTemplate.Restart"),
        ("TaskTemplate: {ContainerSpec: {StopGracePeriod: 10s}}", "spec.TaskTemplate.ContainerSpec.StopGracePeriod"),
        ("Labels: {com.docker.stack.namespace: other}", "spec.Labels.com.docker.stack.namespace"),
    ],
)
def test_a_wrong_shape_is_told_with_its_place(patch: str, path: str) -> None:
    problem = service_problem("x-swarmctl:\n  spec:\n    " + patch)
    assert problem.place is not None
    assert problem.place.line == 6
    assert problem.place.key_path == f"services.a.x-swarmctl.{path}"


def test_old_versions_of_the_format_have_no_extensions() -> None:
    problem = the_problem("version: '3.3'\nservices: {a: {image: i, x-swarmctl: {}}}")
    assert "3.7" in problem.what


def test_a_network_is_extended_too() -> None:
    desired = stack("services: {a: {image: i}}\nnetworks: {default: {x-swarmctl: {spec: {EnableIPv6: true}}}}")
    [network] = desired.of_kind(Kind.NETWORK)
    assert network.spec["EnableIPv6"] is True


def test_a_later_file_merges_its_extension_over_the_first_ones() -> None:
    one = "services: {a: {image: i, x-swarmctl: {spec: {Labels: {a: '1', b: '1'}, Mode: {Global: {}}}}}}"
    two = "services: {a: {x-swarmctl: {spec: {Labels: {a: null, b: ''}, Mode: {Replicated: null}}}}}"
    files = revision({"one.yaml": one, "two.yaml": two})
    [found] = load_stack_file(files, "one.yaml", "s", inputs(), ("two.yaml",)).of_kind(Kind.SERVICE)
    assert "a" not in found.spec["Labels"]
    assert found.spec["Labels"]["b"] == ""
    assert found.spec["Mode"] == {"Global": {}}


STANDALONE = """
x-swarmctl: {stack: false}
services:
  api: {image: i, networks: [back], volumes: ["data:/data"], configs: [conf]}
  bare: {image: i}
networks: {back: {attachable: true}}
volumes: {data: {}}
configs: {conf: {file: conf}}
"""


def standalone() -> DesiredState:
    return loaded({"stacks/some.yaml": STANDALONE, "stacks/conf": "x"})


def test_a_file_of_no_stack_gives_no_prefix_and_no_stack_label() -> None:
    desired = standalone()
    assert {(one.kind, one.name, one.stack) for one in desired.objects} == {
        (Kind.NETWORK, "back", None),
        (Kind.CONFIG, "conf", None),
        (Kind.SERVICE, "api", None),
        (Kind.SERVICE, "bare", None),
    }
    assert desired.stacks == ()
    assert "com.docker.stack" not in str([one.spec for one in desired.objects])


def test_services_outside_stacks_get_no_network_and_alias_that_nobody_asked_for() -> None:
    specs = {one.name: one.spec["TaskTemplate"] for one in standalone().of_kind(Kind.SERVICE)}
    assert specs["api"]["Networks"] == [{"Target": "back"}]
    assert "Networks" not in specs["bare"]
    assert specs["api"]["ContainerSpec"]["Mounts"][0]["Source"] == "data"


def test_environments_outside_stacks_keep_their_order_and_their_empty_variables() -> None:
    text = "x-swarmctl: {stack: false}\nservices: {a: {image: i, environment: {Z: '1', A: '', B: null}}}"
    [found] = stack(text, A="x", B="x").objects
    assert found.spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["Z=1", "A=", "B"]


def test_nothing_waits_for_a_file_that_is_no_stack() -> None:
    cluster = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: test}\nspec:\n  stacks:\n"
    listed = "    - {path: some.yaml}\n    - {path: web.yaml, dependsOn: [some]}\n"
    files = {"swarm.yaml": cluster + listed, "some.yaml": "x-swarmctl: {stack: false}", "web.yaml": "services: {}"}
    [problem] = problems(files)
    assert problem.code is ErrorCode.INVALID_VALUE
    assert problem.place is not None
    assert problem.place.line == 7


def test_a_name_declared_in_two_files_names_both() -> None:
    one = "x-swarmctl: {stack: false}\nservices: {web_a: {image: i}}"
    [problem] = problems({"stacks/one.yaml": one, "stacks/web.yaml": "services: {a: {image: i}}"})
    assert problem.code is ErrorCode.DUPLICATE_OBJECT
    assert "one.yaml" in problem.why


PRUNED = """
services:
  a: {image: i, networks: [n], x-swarmctl: {prune: %s}}
networks: {n: {x-swarmctl: {prune: %s}}}
secrets: {s: {file: f, x-swarmctl: {prune: %s}}}
configs: {c: {file: f, x-swarmctl: {prune: %s}}}
"""


def test_any_object_may_stay_when_nothing_declares_it() -> None:
    for answer in ("false", "true"):
        desired = stack(PRUNED % ((answer,) * 4), {"f": "x"})
        assert {one.prune for one in desired.objects} == {answer == "true"}
        assert len(desired.objects) == 4
        assert "prune" not in str([one.spec for one in desired.objects])
    assert all(one.prune for one in stack("services: {a: {image: i}}").objects)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("services: {a: {image: i, x-swarmctl: {prune: 'no'}}}", ErrorCode.WRONG_TYPE, "services.a.x-swarmctl.prune"),
        ("services: {a: {image: i, x-swarmctl: {purne: no}}}", ErrorCode.UNKNOWN_KEY, "services.a.x-swarmctl.purne"),
        ("services: {}\nnetworks: {n: {x-swarmctl: {prune: 1}}}", ErrorCode.WRONG_TYPE, "networks.n.x-swarmctl.prune"),
        ("secrets: {s: {file: web.yaml, x-swarmctl: {keep: 1}}}", ErrorCode.UNKNOWN_KEY, "secrets.s.x-swarmctl.keep"),
        ("configs: {s: {file: web.yaml, x-swarmctl: {spec: {}}}}", ErrorCode.UNKNOWN_KEY, "configs.s.x-swarmctl.spec"),
        ("configs: {s: {file: web.yaml, x-swarmctl: 1}}", ErrorCode.WRONG_TYPE, "configs.s.x-swarmctl"),
        ("volumes: {v: {x-swarmctl: {prune: false}}}", ErrorCode.UNKNOWN_KEY, "volumes.v.x-swarmctl.prune"),
        ("x-swarmctl: {rollback: true}", ErrorCode.WRONG_TYPE, "x-swarmctl.rollback"),
        ("x-swarmctl: {rollback: service}", ErrorCode.INVALID_VALUE, "x-swarmctl.rollback"),
        ("x-swarmctl: {rolback: stack}", ErrorCode.UNKNOWN_KEY, "x-swarmctl.rolback"),
        ("x-swarmctl: {rollback: stack, stack: false}", ErrorCode.INVALID_VALUE, "x-swarmctl.rollback"),
    ],
)
def test_a_wrong_extension_is_told(text: str, code: ErrorCode, path: str) -> None:
    problem = the_problem(text)
    assert problem.place is not None
    assert (problem.code, problem.place.key_path) == (code, path)
    assert problem.hint


def test_a_near_name_is_suggested_in_extensions() -> None:
    assert "`rollback`" in the_problem("x-swarmctl: {rolback: stack}").hint
    assert "`prune`" in service_problem("x-swarmctl: {purne: false}").hint
    assert "x-swarmctl" in service_problem("prune: false").hint
    assert "at the top" in service_problem("x-swarmctl: {rollback: stack}").hint


def test_a_lone_file_says_that_its_stack_goes_back_as_a_whole() -> None:
    assert [one.atomic for one in stack("x-swarmctl: {rollback: stack}").stacks] == [True]
    assert [one.atomic for one in stack("x-swarmctl: {rollback: none}").stacks] == [False]
    assert [one.atomic for one in stack("services: {}").stacks] == [False]


@pytest.mark.parametrize(
    ("first", "second", "atomic"),
    [("stack", None, True), (None, "stack", True), ("stack", "none", False), ("none", "stack", True)],
)
def test_of_several_files_the_last_that_says_it_counts(first: str | None, second: str | None, atomic: bool) -> None:
    def text(rollback: str | None) -> str:
        return "services: {}" if rollback is None else f"x-swarmctl: {{rollback: {rollback}}}"

    files = revision({"one.yaml": text(first), "two.yaml": text(second)})
    [found] = load_stack_file(files, "one.yaml", "s", inputs(), ("two.yaml",)).stacks
    assert found.atomic is atomic
