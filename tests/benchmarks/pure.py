"""How long the pure rooms take, beside a peer in the same run.

Each figure is the best of several rounds, and told as a ratio to something everybody knows, so that it means the same
on a slow machine.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from msgspec.structs import replace

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.schema_files import read_schemas
from reconciler.manifests.document import Document, read_document
from reconciler.manifests.load import LoadInputs, load, load_again
from reconciler.manifests.problems import ProblemList
from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.objects import Kind, ObservedObject
from reconciler.planning.plan import plan
from tests.unit.planning.builders import a_node, actual, observed, running_tasks

ROUNDS = 3
STACKS, SERVICES = 1_000, 10
PLANNED_STACKS = 100
NODES = 200

SERVICE = """\
  s{number}:
    image: registry.example.com/team/app{number}:1.4.2
    command: ["serve", "--port", "8080"]
    environment: {{LOG_LEVEL: info, SHARD: "{number}", CACHE: "redis://cache:6379"}}
    networks: [default]
    healthcheck: {{test: [CMD, probe, ready], interval: 10s, timeout: 3s, retries: 3}}
    deploy:
      replicas: 3
      placement: {{constraints: [node.role == worker]}}
      resources: {{limits: {{cpus: "0.5", memory: 256M}}, reservations: {{memory: 64M}}}}
      update_config: {{parallelism: 1, delay: 5s, order: start-first}}
      labels: {{traefik.enable: "true", traefik.port: "8080"}}
"""


def write_repository(folder: Path, stacks: int = STACKS) -> list[str]:
    """Write stacks of SERVICES services each, no two alike; return the texts of the stack files."""
    (folder / "stacks").mkdir(parents=True)
    (folder / "swarm.yaml").write_text("apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: bench}\nspec: {}\n")
    texts = []
    for stack in range(stacks):
        numbers = range(stack * SERVICES, (stack + 1) * SERVICES)
        text = 'version: "3.8"\nservices:\n' + "".join(SERVICE.format(number=number) for number in numbers)
        (folder / "stacks" / f"stack{stack:04}.yaml").write_text(text)
        texts.append(text)
    return texts


def best_s(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of ROUNDS runs."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def as_deployed(state: DesiredState) -> list[ObservedObject]:
    """The objects of `state` as a cluster shows them that we deployed them to: our labels, and ids for names."""
    objects = []
    for action in plan(state, actual()).actions:
        spec = copy.deepcopy(action.spec)
        if spec is None or action.kind not in (Kind.NETWORK, Kind.SERVICE):
            continue
        if action.kind is Kind.SERVICE:
            for attachment in spec["TaskTemplate"].get("Networks", []):
                attachment["Target"] = f"id-{attachment['Target']}"
            spec["TaskTemplate"]["Runtime"] = "container"
        objects.append(observed(action.kind, spec))
    return objects


def values_of(texts: list[str]) -> list[Document | None]:
    """The first step of a load."""
    return [read_document(text.encode(), "stack.yaml", ProblemList()) for text in texts]


def checked(texts: list[str], inputs: LoadInputs) -> bool:
    """The first two steps of a load."""
    check = inputs.schemas.stack_check(8)
    return all(check(document.value) for document in values_of(texts) if document)


def bench_reload(folder: Path, inputs: LoadInputs, load_s: float) -> None:
    """How long a load takes that finds one stack changed, or none."""
    first = load_again(DirectoryRevision.open(str(folder)), inputs, None)
    assert len(first.fresh) == STACKS
    again_s = best_s(lambda: load_again(DirectoryRevision.open(str(folder)), inputs, first))
    assert load_again(DirectoryRevision.open(str(folder)), inputs, first).fresh == ()
    changed = folder / "stacks" / "stack0000.yaml"
    changed.write_text(changed.read_text().replace("replicas: 3", "replicas: 4"))
    one_s = best_s(lambda: load_again(DirectoryRevision.open(str(folder)), inputs, first))
    assert load_again(DirectoryRevision.open(str(folder)), inputs, first).fresh == ("stack0000",)
    print(f"reload    nothing changed: {again_s:.2f} s, {again_s / load_s:.0%} of a load;", end=" ")
    print(f"one stack changed: {one_s:.2f} s, {one_s / load_s:.0%}")


def bench_load() -> None:
    """How long it takes from 10,000 services of text to specs."""
    count = STACKS * SERVICES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "infra"
        texts = write_repository(folder)
        inputs = LoadInputs(read_schemas(), {}, "/root", str(folder))

        def load_all() -> DesiredState:
            return load(DirectoryRevision.open(str(folder)), inputs)

        parse_s = best_s(lambda: [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts])
        load_s = best_s(load_all)
        print(f"load      {count} services, text to specs: {load_s:.2f} s, {count / load_s:,.0f} services/s,")
        print(f"          {load_s / parse_s:.1f} times what PyYAML with libyaml takes for the plain values of the text")
        print(f"          of which {best_s(lambda: values_of(texts)) / load_s:.0%} YAML to values,")
        print(f"          {best_s(lambda: checked(texts, inputs)) / load_s:.0%} that and the schema")
        bench_reload(folder, inputs, load_s)


def bench_plan() -> None:
    """How long it takes to plan 1,000 services against 1,000 that run: nothing changed, and one."""
    count = PLANNED_STACKS * SERVICES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "infra"
        write_repository(folder, PLANNED_STACKS)
        inputs = LoadInputs(read_schemas(), {}, "/root", str(folder))
        state = load(DirectoryRevision.open(str(folder)), inputs)
    cluster = actual(*as_deployed(state))
    assert plan(state, cluster).is_empty
    first, *others = state.objects
    assert first.kind is Kind.NETWORK
    one = next(wanted for wanted in others if wanted.kind is Kind.SERVICE)
    spec = {**one.spec, "Mode": {"Replicated": {"Replicas": 4}}}
    changed = replace(
        state, objects=tuple(dataclasses.replace(one, spec=spec) if each is one else each for each in state.objects)
    )
    assert [action.name for action in plan(changed, cluster).actions] == [one.name]
    specs = [wanted.spec for wanted in state.objects]
    json_s = best_s(lambda: json.loads(json.dumps(specs)))
    none_s = best_s(lambda: plan(state, cluster))
    one_s = best_s(lambda: plan(changed, cluster))
    print(f"plan      {count} services, nothing to change: {none_s:.3f} s; one changed: {one_s:.3f} s;")
    print(f"          {none_s / json_s:.1f} times a JSON round trip of the same specs")
    bench_rollout(state, json_s)


def bench_rollout(state: DesiredState, json_s: float) -> None:
    """How long it takes to plan a new image for every service, whose tasks need places on many nodes."""
    description = {"Resources": {"NanoCPUs": 64 * 10**9, "MemoryBytes": 256 << 30}}
    workers = [a_node(f"n{number}") for number in range(NODES)]
    nodes = [replace(node, raw={**node.raw, "Description": description}) for node in workers]
    running = as_deployed(state)
    tasks = [task for one in running if one.kind is Kind.SERVICE for task in running_tasks(one)]
    placed = [replace(task, node_id=nodes[number % NODES].id) for number, task in enumerate(tasks)]
    cluster = actual(*running, *nodes, tasks=tuple(placed))

    def renewed(wanted: DesiredObject) -> DesiredObject:
        spec = copy.deepcopy(wanted.spec)
        spec["TaskTemplate"]["ContainerSpec"]["Image"] += ".1"
        return dataclasses.replace(wanted, spec=spec)

    changed = replace(state, objects=tuple(renewed(one) if one.kind is Kind.SERVICE else one for one in state.objects))
    made = plan(changed, cluster)
    services = PLANNED_STACKS * SERVICES
    assert (len(made.actions), made.unplaceable) == (services, ()), made.unplaceable[:1]
    all_s = best_s(lambda: plan(changed, cluster))
    print(f"          all {services} changed, {len(tasks)} tasks on {NODES} nodes: {all_s:.2f} s,", end=" ")
    print(f"{all_s / json_s:.0f} times the round trip")
