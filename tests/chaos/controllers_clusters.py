"""The swarms that controllers are struck on: an embedded one, or three real engines that are all managers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from tests.e2e.conftest import Backend
from tests.e2e.controller_group import NAMES
from tests.e2e.program import Program
from tests.lab.lab import Lab


@dataclass(frozen=True)
class Cluster:
    """A swarm of three nodes, and the socket that each controller talks to."""

    backend: Backend
    sockets: Mapping[str, str]


@contextmanager
def a_cluster(kind: str, folder: Path) -> Iterator[Cluster]:
    """Open `embedded` or `engines`."""
    swarmctl = Program(folder, {"SWARMCTL_DATA_DIR": str(folder / "swarm")})
    if kind == "engines":
        with Lab(managers=3) as lab:
            sockets = {name: str(engine.socket) for name, engine in zip(NAMES, lab.engines[:3], strict=True)}
            with _talking_to(lab.manager.host, kind, swarmctl) as backend:
                yield Cluster(backend, sockets)
        return
    host = swarmctl.ok("up", "--nodes", "3").split("DOCKER_HOST=")[1].split()[0]
    try:
        with _talking_to(host, kind, swarmctl) as backend:
            yield Cluster(backend, dict.fromkeys(NAMES, host.removeprefix("unix://")))
    finally:
        swarmctl.ok("down")


@contextmanager
def _talking_to(host: str, kind: str, swarmctl: Program) -> Iterator[Backend]:
    swarmctl.environment["DOCKER_HOST"] = host
    engine = docker.APIClient(base_url=host, version="1.41", timeout=60)
    try:
        yield Backend(kind, host, engine, swarmctl)
    finally:
        engine.close()
