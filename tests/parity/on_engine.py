"""The real `docker stack deploy` and ours, one after the other on one real engine.

What Docker deployed must be no change to us, and what we applied must restart no task when Docker deploys it again. The
engine's nodes are drained, so that no task runs: what restarts tasks is told by Swarm's own rule, a task template or an
endpoint that differs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import docker

from reconciler.adapters.directory import DirectoryRevision
from reconciler.adapters.docker.cluster import connect
from reconciler.adapters.schema_files import read_schemas
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.manifests.load import LoadInputs, load_stack_file
from reconciler.model.desired import DesiredState
from reconciler.model.plan import Plan
from reconciler.planning.plan import plan
from reconciler.settings import EndpointSettings
from tests.lab.meddling import put_node

SCHEMAS = read_schemas()
FREE_WAIT_S = 20.0
POLL_S = 0.02
STALE_TRIES = 5
"""The swarm itself writes to a new service or node for a moment, and the docker CLI does not try again."""
SHOWN_MAX = 6
NEVER_MADE = ("host", "bridge", "none", "default")


@dataclass(frozen=True)
class Deployment:
    """Stack files in `folder` that are deployed together as `stack`, and what must exist before: {kind: names}."""

    stack: str
    folder: Path
    files: tuple[str, ...]
    variables: dict[str, str]
    externals: dict[str, list[str]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": "/root", "PWD": str(self.folder), **self.variables}

    def load(self) -> DesiredState:
        revision = DirectoryRevision(str(self.folder), self.stack)
        inputs = LoadInputs(SCHEMAS, self.environment, "/root", str(self.folder))
        return load_stack_file(revision, self.files[0], self.stack, inputs, self.files[1:])


class SharedEngine:
    """A real manager that both sides deploy to. Between two deployments it is cleared."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.client = docker.APIClient(base_url=host, version="1.41", timeout=60)

    def set_availability(self, availability: str) -> None:
        for node in self.client.nodes():
            put_node(self.client, node["Description"]["Hostname"], Availability=availability)

    def make_externals(self, deployment: Deployment) -> None:
        for name in deployment.externals.get("network", ()):
            if name not in NEVER_MADE:
                with contextlib.suppress(docker.errors.APIError):
                    self.client.create_network(name, driver="overlay", attachable=True)
        for name in deployment.externals.get("secret", ()):
            self.client.create_secret(name, b"value")
        for name in deployment.externals.get("config", ()):
            self.client.create_config(name, b"value")

    def docker_deploy(self, deployment: Deployment) -> None:
        """Run the real `docker stack deploy`; raise with what it said when it fails."""
        said = ""
        for _ in range(STALE_TRIES):
            said = self._docker_deploy(deployment)
            if "out of sequence" not in said:
                break
        if said:
            raise RuntimeError(f"docker stack deploy: {said}")

    def _docker_deploy(self, deployment: Deployment) -> str:
        """Deploy once; return why it failed, "" when it did not."""
        files = [part for file in deployment.files for part in ("-c", file)]
        finished = subprocess.run(
            ["docker", "-H", self.host, "stack", "deploy", *files, "--resolve-image", "never", deployment.stack],
            cwd=deployment.folder,
            env=deployment.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return finished.stderr.strip().splitlines()[-1] if finished.returncode else ""

    def plan(self, deployment: Deployment) -> Plan:
        """What swarmctl would do about the deployment now."""

        async def look() -> Plan:
            cluster = await connect(EndpointSettings(host=self.host))
            try:
                return plan(deployment.load(), await cluster.observe())
            finally:
                await cluster.close()

        return asyncio.run(look())

    def swarmctl_apply(self, deployment: Deployment) -> None:
        """Apply the deployment; raise with what went wrong."""

        async def work() -> list[str]:
            cluster = await connect(EndpointSettings(host=self.host))
            try:
                actual = await cluster.observe()
                made = plan(deployment.load(), actual)
                result = await apply(made, actual, cluster, ApplyOptions(wait=False), lambda step: None)
            finally:
                await cluster.close()
            wrong = [f"{one.action.id}: {one.problem.what} {one.problem.why}" for one in result.actions if one.problem]
            return wrong + [f"blocked {one.id}: {one.problem.what}" for one in made.blocked]

        if wrong := asyncio.run(work()):
            raise RuntimeError("apply: " + "; ".join(wrong[:SHOWN_MAX]))

    def restarting_fields(self) -> dict[str, str]:
        """{service: all of its spec whose change restarts its tasks}."""
        return {
            one["Spec"]["Name"]: json.dumps(
                [one["Spec"]["TaskTemplate"], one["Spec"].get("EndpointSpec")], sort_keys=True
            )
            for one in self.client.services()
        }

    def clear(self) -> None:
        for service in self.client.services():
            self.client.remove_service(service["ID"])
        for secret in self.client.secrets():
            self.client.remove_secret(secret["ID"])
        for config in self.client.configs():
            self.client.remove_config(config["ID"])
        deadline = time.monotonic() + FREE_WAIT_S
        while left := [one for one in self.client.networks(filters={"driver": "overlay"}) if not one["Ingress"]]:
            for one in left:
                with contextlib.suppress(docker.errors.APIError):
                    self.client.remove_network(one["Id"])
            if time.monotonic() > deadline:
                raise RuntimeError(f"networks stay: {[one['Name'] for one in left]}")
            time.sleep(POLL_S)


def changes_after_docker(engine: SharedEngine, deployment: Deployment) -> list[str]:
    """Deploy with Docker and return each change that swarmctl would make: none, if it adopts the stack as it is."""
    engine.make_externals(deployment)
    engine.docker_deploy(deployment)
    made = engine.plan(deployment)
    lines = [
        f"{action.id}: {change.path}: {change.old!r} -> {change.new!r}"
        for action in made.actions
        for change in action.changes
    ]
    lines += [f"{action.id}: {action.type.value}" for action in made.actions if not action.changes]
    return lines + [f"blocked {one.id}: {one.problem.what} {one.problem.why}" for one in made.blocked]


def restarts_after_us(engine: SharedEngine, deployment: Deployment) -> list[str]:
    """Apply, deploy with Docker, and return the services whose tasks that restarts."""
    engine.make_externals(deployment)
    engine.swarmctl_apply(deployment)
    before = engine.restarting_fields()
    engine.docker_deploy(deployment)
    after = engine.restarting_fields()
    return [name for name in before | after if before.get(name) != after.get(name)]


def recorded_deployments(corpus: Path, scratch: Path) -> Iterable[Deployment]:
    """Yield the accepted entries of a corpus, each copied to `scratch` without what was recorded of it."""
    for place in sorted(path.parent for path in corpus.glob("*/args")):
        if "--- rc 0\n" not in (place / "real" / "deploy.log").read_text():
            continue
        folder = scratch / place.name
        shutil.copytree(place, folder, ignore=shutil.ignore_patterns("real"))
        lines = (folder / "env").read_text().splitlines() if (folder / "env").exists() else []
        recorded = place / "real" / "externals.json"
        found = json.loads(recorded.read_text()) if recorded.exists() else {}
        names = {kind: [one.get("Name") or one["Spec"]["Name"] for one in all_of] for kind, all_of in found.items()}
        yield Deployment(
            stack=f"s{place.name[:3]}",
            folder=folder,
            files=tuple((place / "args").read_text().split()),
            variables=dict(line.split("=", 1) for line in lines if "=" in line),
            externals=names,
        )


def report(corpus: Path, host: str) -> bool:
    """Print how many accepted entries need no change after Docker, and restart nothing after us; whether all do."""
    engine = SharedEngine(host)
    engine.set_availability("drain")
    total, misses = 0, {changes_after_docker: dict[str, str](), restarts_after_us: dict[str, str]()}
    with tempfile.TemporaryDirectory() as scratch:
        for deployment in recorded_deployments(corpus, Path(scratch)):
            total += 1
            for check, missed in misses.items():
                try:
                    found = check(engine, deployment)
                except Exception as error:  # noqa: BLE001 - one broken entry must not hide the others
                    found = [f"{type(error).__name__}: {error}"]
                finally:
                    engine.clear()
                if found:
                    missed[deployment.folder.name] = "; ".join(found[:SHOWN_MAX])
    print(f"on a real engine: {total} accepted entries of {corpus}")
    print(f"  deployed by Docker, no change to us    {total - len(misses[changes_after_docker])} / {total}")
    print(f"  applied by us, Docker restarts no task {total - len(misses[restarts_after_us])} / {total}")
    for missed in misses.values():
        for name, line in missed.items():
            print(f"    {name}: {line}")
    return total > 0 and not any(misses.values())
