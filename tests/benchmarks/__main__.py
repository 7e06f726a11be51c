"""How long the pure rooms take, beside a peer in the same run: `make bench`.

Each figure is the best of several rounds, and told as a ratio to something everybody knows, so that it means the same
on a slow machine.
"""

from __future__ import annotations

import copy
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.schema_files import read_schemas
from reconciler.main import GC_THRESHOLD
from reconciler.manifests.document import Document, read_document
from reconciler.manifests.load import LoadInputs, load, load_again
from reconciler.manifests.problems import ProblemList
from reconciler.model.desired import DesiredState
from reconciler.model.objects import Kind
from reconciler.planning.plan import plan
from tests.unit.planning.builders import actual, observed

ROUNDS = 3
STACKS, SERVICES = 1_000, 10

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


def write_repository(folder: Path) -> list[str]:
    """Write STACKS stacks of SERVICES services each, no two alike; return the texts of the stack files."""
    (folder / "stacks").mkdir(parents=True)
    (folder / "swarm.yaml").write_text("apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: bench}\nspec: {}\n")
    texts = []
    for stack in range(STACKS):
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


def as_deployed(state: DesiredState) -> list:
    """The objects of `state` as a cluster would show them, ids for names included."""
    objects = []
    for wanted in state.objects:
        spec = copy.deepcopy(wanted.spec)
        if wanted.kind is Kind.SERVICE:
            for attachment in spec["TaskTemplate"].get("Networks", []):
                attachment["Target"] = f"id-{attachment['Target']}"
            spec["TaskTemplate"]["Runtime"] = "container"
        objects.append(observed(wanted.kind, spec))
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


def main() -> None:
    """Run every benchmark and print its line."""
    gc.set_threshold(GC_THRESHOLD)  # as the program does
    count = STACKS * SERVICES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "infra"
        texts = write_repository(folder)
        inputs = LoadInputs(read_schemas(), {}, "/root", str(folder))

        def load_all() -> DesiredState:
            return load(DirectoryRevision.open(str(folder)), inputs)

        state = load_all()
        parse_s = best_s(lambda: [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts])
        load_s = best_s(load_all)
        print(f"load      {count} services, text to specs: {load_s:.2f} s, {count / load_s:,.0f} services/s,")
        print(f"          {load_s / parse_s:.1f} times what PyYAML with libyaml takes for the plain values of the text")
        print(f"          of which {best_s(lambda: values_of(texts)) / load_s:.0%} YAML to values,")
        print(f"          {best_s(lambda: checked(texts, inputs)) / load_s:.0%} that and the schema")
        bench_reload(folder, inputs, load_s)
        cluster = actual(*as_deployed(state))
        assert plan(state, cluster).is_empty
        specs = [wanted.spec for wanted in state.objects]
        json_s = best_s(lambda: json.loads(json.dumps(specs)))
        plan_s = best_s(lambda: plan(state, cluster))
        print(f"plan      {count} services, nothing to change: {plan_s:.2f} s, {count / plan_s:,.0f} services/s,")
        print(f"          {plan_s / json_s:.1f} times a JSON round trip of the same specs")


if __name__ == "__main__":
    main()
