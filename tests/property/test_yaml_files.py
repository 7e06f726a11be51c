"""Whatever a file holds: a state, or a SwarmctlError whose places lie inside the files. Never another exception."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.manifests.load import load, load_stack_file
from reconciler.model.desired import DesiredState
from reconciler.model.errors import Place, Problem, SwarmctlError
from reconciler.model.plan import ABSENT
from reconciler.planning.differ import changes_between
from tests.unit.manifests.builders import CLUSTER, inputs, revision

STACK = b"""version: "3.8"
x-common: &common
  logging: {driver: json-file, options: {max-size: "1m"}}
services:
  web:
    <<: *common
    image: nginx:${TAG:-1}
    command: sh -c "exec $$0"
    environment: {A: 1, B: , C: 2001-01-01}
    env_file: [a.env]
    ports: ["8080-8081:80-81/udp", {target: 1, published: 2, mode: host}]
    volumes: [data:/data, ./x:/y:ro, {type: tmpfs, target: /t, tmpfs: {size: 5}}]
    networks: {front: {aliases: [w]}, default: }
    secrets: [{source: s, target: t, mode: 0400}]
    configs: [c]
    healthcheck: {test: [CMD, x], interval: 1m30s, retries: 3}
    ulimits: {nofile: {soft: 1, hard: 2}}
    stop_grace_period: 10s
    depends_on: [other]
    x-swarmctl: {prune: false, spec: {TaskTemplate: {ContainerSpec: {Groups: [a], Mounts: [{Target: /m}]}}}}
    credential_spec: {config: c}
    deploy:
      replicas: 2
      resources: {limits: {cpus: "0.5", memory: 64M}}
      update_config: {parallelism: 1, delay: 5s, order: start-first}
      restart_policy: {condition: any, window: 1s}
      placement: {constraints: ["node.role == manager"], preferences: [{spread: node.id}]}
  other: {image: i, labels: [a=b], env_file: a.env, restart: always}
networks: {front: {driver: overlay, ipam: {config: [{subnet: 10.0.0.0/24}]}}}
volumes: {data: {driver_opts: {a: b}}}
secrets: {s: {file: s.txt, x-swarmctl: {prune: true}}}
x-swarmctl: {rollback: stack}
configs: {c: {external: true, name: real}}
"""
CLUSTER_FILE = (
    CLUSTER.encode()
    + b"""spec:
  settings: {taskHistoryLimit: 5, certExpiry: 90d, autolock: true}
  joinTokens: {worker: {rotateEvery: 30d}}
  nodes: [{hostname: a, role: manager, labels: {x: y}}, {id: b, state: absent}]
  networks: {public: {subnet: 10.0.9.0/24, gateway: 10.0.9.1, prune: false}}
  stacks: [{path: stacks/a.yaml, dependsOn: [b]}, {path: stacks/b.yaml, rollback: stack}]
  policy: {drift: heal, maxDeletePercent: 5, keepVersions: 1}
"""
)
OTHERS = {
    "a.env": b"X=1\nTAG\n",
    "s.txt": b"hidden",
    "stacks/b.yaml": b"services: {}",
    "stacks/a.yaml": b"services: {}",
}

EXAMPLES = 300
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TOKENS = (
    "&a |*a|*common|<<: |!!binary |!!int |? |- |: |{|}|[|]|'|\"|>-\n|---\n|...\n|\t|\r|#|\n|\n  |\\|\u0085\u2028|"
    "\ufeff|${|$|${A:-|.inf|-1|1e999|0x|2001-01-01T00:00:00Z|null|~|::|/../|true|1/0|"
    "1e99|external: true, |name: x, |source: "
)
SNIPPETS = st.sampled_from(
    [
        *(token.encode() for token in TOKENS.split("|")),
        *(b"|\n", b"%YAML 1.1\n", b"\x00", b"\xff", b"9" * 5000, b"a" * 300),
    ]
)


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """A file with a few places cut, doubled, swapped or overwritten."""
    content = original
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        piece = draw(st.one_of(SNIPPETS, st.just(b""), st.binary(max_size=4), st.just(content[start:end] * 2)))
        content = content[:start] + piece + content[end:]
    return content


def problems_of_stack(content: bytes) -> tuple[Problem, ...]:
    files = {**OTHERS, "web.yaml": content}
    try:
        state = load_stack_file(revision(files), "web.yaml", "s", inputs(TAG="2"))
    except SwarmctlError as error:
        check_places(error.problems, files)
        return error.problems
    check_places(state.warnings, files)
    check_fields(state, files)
    return ()


def check_fields(state: DesiredState, files: dict[str, bytes]) -> None:
    """Each field of each spec has a place inside the files, at its object when no line asks for it."""
    for wanted in state.objects:
        for change in changes_between(ABSENT, wanted.spec):
            check_place(wanted.place_of(change.path), files)


def check_places(problems: tuple[Problem, ...], files: dict[str, bytes]) -> None:
    for problem in problems:
        assert problem.what
        assert problem.place is not None
        check_place(problem.place, files)
        "".join((problem.what, problem.why, problem.hint, str(problem.place))).encode()


def check_place(place: Place, files: dict[str, bytes]) -> None:
    lines = files[place.file].decode("utf-8", "replace").splitlines() or [""]
    assert 0 <= place.line <= len(lines)
    assert place.column >= min(place.line, 1)


def test_the_files_that_are_mutated_are_sound() -> None:
    assert problems_of_stack(STACK) == ()
    assert load(revision({**OTHERS, "swarm.yaml": CLUSTER_FILE}), inputs()).nodes


@MANY
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_break_a_stack_file(content: bytes) -> None:
    problems_of_stack(content)


@MANY
@given(st.text(alphabet=st.sampled_from(list("ab01:-?{}[],&*!|>'\"%@`#$<~. \n\t\\éx")), max_size=60))
def test_arbitrary_yaml_punctuation_never_breaks_a_stack_file(text: str) -> None:
    problems_of_stack(text.encode())


@MANY
@given(mutated(STACK))
def test_a_mutated_stack_file_never_breaks(content: bytes) -> None:
    problems_of_stack(content)


@MANY
@given(mutated(STACK), mutated(STACK))
def test_two_mutated_stack_files_never_break_the_merge(first: bytes, second: bytes) -> None:
    files = {**OTHERS, "web.yaml": first, "stacks/more.yaml": second}
    try:
        state = load_stack_file(revision(files), "web.yaml", "s", inputs(TAG="2"), ("stacks/more.yaml",))
    except SwarmctlError as error:
        check_places(error.problems, files)
        return
    check_places(state.warnings, files)
    check_fields(state, files)


def test_a_file_merged_with_itself_is_sound() -> None:
    load_stack_file(revision({**OTHERS, "web.yaml": STACK}), "web.yaml", "s", inputs(TAG="2"), ("web.yaml",))


@MANY
@given(mutated(CLUSTER_FILE))
def test_a_mutated_swarm_yaml_never_breaks(content: bytes) -> None:
    files = {**OTHERS, "swarm.yaml": content}
    try:
        state = load(revision(files), inputs())
    except SwarmctlError as error:
        check_places(error.problems, files)
        return
    check_fields(state, files)


@MANY
@given(st.text(alphabet=st.sampled_from(list('aT.[]"()01/ ')), max_size=30), st.booleans())
def test_a_path_that_leads_nowhere_is_found_nowhere(path: str, below: bool) -> None:
    state = load_stack_file(revision({**OTHERS, "web.yaml": STACK}), "web.yaml", "s", inputs(TAG="2"))
    for wanted in state.objects:
        check_place(wanted.place_of(f"TaskTemplate.ContainerSpec.{path}" if below else path), {"web.yaml": STACK})


TEXTS = ["", "x", "$", "${A}", "/", "0", "-1", "\0", "a:b:c:d"]
KEYS = ["name", "source", "target", "type", "external", "x", "file", "driver"]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-10, 2**70), st.floats(), st.sampled_from(TEXTS)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=6,
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for step, item in inner for found in paths_of(item, (*path, step))]


@MANY
@given(st.data())
def test_a_stack_file_with_any_value_anywhere_never_breaks(data: st.DataObject) -> None:
    tree = yaml.safe_load(STACK.replace(b"2001-01-01", b"x"))
    tree = json.loads(json.dumps(tree))  # what an alias shares must not change in two places
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths_of(tree)))
        around = tree
        for step in path[:-1]:
            around = around[step]
        around[path[-1]] = data.draw(VALUES)
    problems_of_stack(json.dumps(tree).encode())
