"""What `swarmctl schema` prints for editors, held against the loader: both say yes or no to the same files."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from reconciler.adapters.schema_files import controller_schema, plan_schema
from reconciler.manifests.published_schema import published
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from tests.unit.manifests.builders import SCHEMAS, loaded, stack

ROOT = Path(__file__).parents[3]
SOURCES = {"cluster": SCHEMAS.cluster, "stack": SCHEMAS.stack, "controller": controller_schema(), "plan": plan_schema()}
EDITOR = {name: Draft202012Validator(published(schema)) for name, schema in SOURCES.items()}
BY_SCHEMA = {ErrorCode.WRONG_TYPE, ErrorCode.UNKNOWN_KEY, ErrorCode.MISSING_KEY, ErrorCode.UNSUPPORTED_KEY}
"""What a schema can find; of values (invalid-value) it finds those with a pattern, a list of words or limits."""

STACK = """
services:
  web:
    image: nginx:1.27
    build: {context: .}
    command: [nginx, -g, daemon off;]
    environment: {A: "1", B: 2, C: null}
    labels: [a=b]
    ports: ["8080:80", {target: 443, published: 8443, protocol: tcp, mode: host}]
    volumes: ["data:/data", {type: bind, source: /srv, target: /srv, read_only: true, bind: {propagation: rslave}}]
    secrets: [key, {source: key, target: k, uid: "1", gid: "1", mode: 0440}]
    configs: [{source: conf, target: /conf}]
    networks: {front: {aliases: [www]}}
    healthcheck: {test: [CMD, "true"], interval: 5s, timeout: 2s, retries: 3, start_period: 1s}
    logging: {driver: json-file, options: {max-size: 10m}}
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 5}
    stop_grace_period: 10s
    init: true
    tty: false
    user: "1000"
    dns: 1.1.1.1
    extra_hosts: ["a:1.2.3.4"]
    deploy:
      mode: replicated
      replicas: 2
      labels: {x: y}
      update_config: {parallelism: 1, delay: 1s, order: start-first, failure_action: rollback, max_failure_ratio: 0.5}
      restart_policy: {condition: any, delay: 1s, max_attempts: 3, window: 1m}
      resources: {limits: {cpus: "0.5", memory: 64M}, reservations: {memory: 32M}}
      placement: {constraints: [node.role==worker], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 2}
    x-swarmctl: {prune: false, spec: {TaskTemplate: {ContainerSpec: {OomScoreAdj: 5}}}}
networks: {front: {driver: overlay, attachable: true, ipam: {config: [{subnet: 10.9.0.0/24}]}, x-swarmctl: {}}}
volumes: {data: {driver: local, driver_opts: {type: nfs}}}
secrets: {key: {external: true, name: the-key}}
configs: {conf: {external: true}}
x-swarmctl: {rollback: stack}
"""
CLUSTER = """
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec:
  settings: {taskHistoryLimit: 5, heartbeatPeriod: 5s, autolock: false}
  joinTokens: {worker: {rotateEvery: 30d}}
  nodes: [{hostname: n1, role: manager, labels: {zone: a}}, {hostname: n2, state: absent}]
  networks: {public: {driver: overlay, subnet: 10.9.0.0/24}}
  stacks: [{path: stacks/a.yaml, dependsOn: [b], drift: heal}, {files: [stacks/b.yaml], name: b, rollback: stack}]
  policy:
    drift: heal
    prune: true
    maxDeletePercent: 50
    ignoreDifferences: [{match: "service.*", paths: [Mode.Replicated.Replicas]}]
    windows: [{kind: allow, days: [mon], start: "22:00", duration: 2h, timezone: UTC}]
    objects: [{match: "node.*", drift: report}]
"""
ODD: tuple[Any, ...] = (None, "", "x", "5s", 0, -1, 3, 70000, 2.5, True, [], ["x"], ["x", "x"], [1], {}, {"x": "y"},
                        {"unknown": 1}, "${N}", "1", {"source": "a"})  # fmt: skip
KEYS = ("unknown", "x-mine", "mem_limit", "Uid", "driver", "name", "external", "file", "type", "a/b")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def variants(text: str, count: int, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield documents in each of which one place has another value, is gone, or has a key more; and what was done."""
    dice, sound = random.Random(seed), yaml.safe_load(text)
    everywhere = list(places(sound))
    for _ in range(count):
        changed, path = copy.deepcopy(sound), dice.choice(everywhere)
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        what = dice.random()
        if what < 0.15:
            del holder[path[-1]]
            yield f"without {path}", changed
        elif what < 0.35 and isinstance(holder[path[-1]], dict):
            key, value = dice.choice(KEYS), dice.choice(ODD)
            holder[path[-1]][key] = value
            yield f"{path} with {key}: {value!r}", changed
        else:
            value = dice.choice(ODD)
            holder[path[-1]] = value
            yield f"{path} = {value!r}", changed


def found_by_loader(name: str, document: Any) -> tuple[Problem, ...]:
    text = yaml.safe_dump(document)
    try:
        if name == "stack":
            stack(text, {"env": ""}, N="3", PORT="80", GRACE="5s", CONDITION="any")
        else:
            sound = "services: {s: {image: i}}"
            loaded({"swarm.yaml": text, "stacks/a.yaml": sound, "stacks/b.yaml": sound})
    except SwarmctlError as error:
        return error.problems
    return ()


def disagreement(name: str, document: Any) -> str | None:
    problems = found_by_loader(name, document)
    refused = next(EDITOR[name].iter_errors(document), None)
    if not problems and refused is not None:
        return f"the loader takes it, the schema says at {list(refused.absolute_path)}: {refused.message[:200]}"
    # What an object is made of may stand in another file, merged with -C.
    told = [one for one in problems if one.code in BY_SCHEMA and one.why != "It cannot be made without."]
    if told and refused is None:
        return f"the schema takes it, the loader says: {told[0].what} {told[0].why}"
    return None


@pytest.mark.parametrize(("name", "text", "seed"), [("stack", STACK, 1), ("cluster", CLUSTER, 2)])
def test_the_schema_and_the_loader_agree(name: str, text: str, seed: int):
    assert disagreement(name, yaml.safe_load(text)) is None
    assert found_by_loader(name, yaml.safe_load(text)) == ()
    found = [f"{done}: {why}" for done, changed in variants(text, 100, seed) if (why := disagreement(name, changed))]
    assert found == []


@pytest.mark.parametrize("name", ["stack", "cluster"])
def test_editors_get_no_keyword_of_ours(name: str):
    assert not [key for key in keywords(published(SOURCES[name])) if key.startswith("x-")]


def keywords(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, inner in schema.items():
            yield key
            named = key in ("properties", "patternProperties", "$defs")
            for below in inner.values() if named else [inner]:
                yield from keywords(below)
    elif isinstance(schema, list):
        for inner in schema:
            yield from keywords(inner)


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("services: {a: {image: i, deploy: {replicas: '${N:-2}'}}}", True),
        ("services: {a: {image: i, deploy: {replicas: 'two'}}}", False),
        ("services: {a: {image: i, stop_grace_period: '${GRACE}'}}", True),
        ("services: {a: {image: i, stop_grace_period: 'soon'}}", False),
        ("services: {a: {image: i, ports: [{target: '${PORT}'}]}}", True),
        ("services: {a: {image: i, x-swarmctl: {prune: '${PRUNE}'}}}", False),  # no place where it is cast
        ("services: {a: {image: i, mem_limit: 5m}}", False),
        ("services: {a: {image: i, build: .}}", True),
        ("services: {a/b: {image: i}}", False),
        ("services: {a: {image: i, deploy: {mode: swarm}}}", False),
        ("services: {a: {image: i, deploy: {mode: global}}}", True),
        ("services: {a: {image: i, deploy: {restart_policy: {condition: always}}}}", False),
        ("services: {a: {image: i, deploy: {restart_policy: {condition: '${CONDITION}'}}}}", True),
        ("services: {a: {image: i, volumes: [{type: bind, source: /s, target: /t, bind: {newer: 1}}]}}", True),
    ],
)
def test_an_editor_takes_variables_and_knows_what_is_refused(text: str, takes: bool):
    assert EDITOR["stack"].is_valid(yaml.safe_load(text)) is takes
    assert (not found_by_loader("stack", yaml.safe_load(text))) is takes


@pytest.mark.parametrize("name", SOURCES)
def test_every_key_is_described(name: str):
    root = published(SOURCES[name])
    assert Draft202012Validator.check_schema(root) is None
    assert undescribed(root, root, "") == []


def undescribed(schema: Any, root: Any, path: str) -> list[str]:
    found: list[str] = []
    items = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for key, inner in items:
        if key in ("if", "then", "else"):
            continue
        if key in ("properties", "$defs"):
            found += [f"{path}/{name}" for name, one in inner.items() if key != "$defs" and not says(one, root)]
            found += [each for name, one in inner.items() for each in undescribed(one, root, f"{path}/{name}")]
        elif isinstance(inner, dict | list):
            found += undescribed(inner, root, path)
    return found


def says(schema: Any, root: Any) -> bool:
    if isinstance(schema, bool):
        return schema
    if any(says(one, root) for one in schema.get("anyOf", ())):
        return True
    if "description" in schema or "$ref" not in schema:
        return "description" in schema
    target = root
    for step in schema["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return says(target, root)


def test_the_examples_are_what_editors_take():
    files = {
        "cluster": [ROOT / "examples/stacks/swarm.yaml"],
        "stack": sorted((ROOT / "examples/stacks/stacks").glob("*.yaml")),
        "controller": [ROOT / "examples/controller/controller.yaml"],
    }
    for name, paths in files.items():
        assert paths
        for path in paths:
            assert [one.message for one in EDITOR[name].iter_errors(yaml.safe_load(path.read_text()))] == [], path
