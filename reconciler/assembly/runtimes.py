"""What runs a node's tasks: the node's own Docker Engine, or this host itself."""

from __future__ import annotations

import enum
import os
import platform
from contextlib import suppress

import msgspec

from reconciler.adapters.docker_runtime import NodeEngine
from reconciler.adapters.process_runtime import LOG_DRIVERS
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject

DEFAULT_ENGINE = "unix:///var/run/docker.sock"


class RuntimeKind(enum.StrEnum):
    """What a daemon was asked to run tasks with. AUTO takes what a swarm's tasks run with already; outside a swarm the
    engine, if one answers."""

    AUTO = "auto"
    DOCKER = "docker"
    PROCESS = "process"

    def unless_it_was(self, before: str) -> RuntimeKind:
        """Return this, or, where it leaves the choice, what it was `before` ("" for nothing): containers never become
        processes of this host because their engine starts after this daemon."""
        return RuntimeKind(before) if before and self is RuntimeKind.AUTO else self


class NodeRuntime(msgspec.Struct, frozen=True):
    """`engine_host` answers what is no swarm matter, None where there is no engine; `runs_containers` says whether
    it runs the tasks as well. `description` is what the node tells of itself."""

    engine_host: str | None
    runs_containers: bool
    description: JsonObject

    @property
    def kind(self) -> RuntimeKind:
        """What it comes to: not AUTO."""
        return RuntimeKind.DOCKER if self.runs_containers else RuntimeKind.PROCESS


async def choose(kind: RuntimeKind, docker_host: str | None, hostname: str) -> NodeRuntime:
    """Return what `kind` comes to on this host. Raises SwarmctlError: bad-setting, engine-unreachable."""
    if docker_host is not None and not docker_host.startswith("unix:///"):
        raise SwarmctlError(
            ErrorCode.BAD_SETTING,
            f"The node's engine can't be {docker_host!r}.",
            why="It is reached by a unix socket of this host.",
            hint="Give --docker-host unix:///PATH.",
        )
    if kind is RuntimeKind.PROCESS:
        return NodeRuntime(docker_host, False, host_description(hostname))
    host = docker_host or DEFAULT_ENGINE
    engine = NodeEngine(host)
    try:
        if await engine.answers() and isinstance(info := await engine.get("info"), dict):
            return NodeRuntime(host, True, _engine_description(hostname, info))
    finally:
        await engine.close()
    if kind is RuntimeKind.AUTO and docker_host is None:
        return NodeRuntime(None, False, host_description(hostname))
    raise SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE,
        f"No Docker Engine answers at {host}.",
        why="Nothing listens there, or this user may not connect.",
        hint="Start it, name another with --docker-host, or choose --runtime process.",
    )


def _engine_description(hostname: str, info: JsonObject) -> JsonObject:
    """Return what a node says whose tasks are containers, in the words of its engine."""
    plugins = [
        {"Type": kind, "Name": name}
        for kind, names in sorted((info.get("Plugins") or {}).items())
        for name in names or ()
    ]
    return {
        "Hostname": hostname,
        "Platform": {"Architecture": info.get("Architecture", ""), "OS": info.get("OSType", "linux")},
        "Resources": {"NanoCPUs": int(info.get("NCPU") or 0) * 1_000_000_000, "MemoryBytes": info.get("MemTotal") or 0},
        "Engine": {
            "EngineVersion": info.get("ServerVersion", ""),
            "Labels": dict(label.partition("=")[::2] for label in info.get("Labels") or ()),
            "Plugins": plugins,
        },
    }


def host_description(hostname: str) -> JsonObject:
    """Return what a node says whose tasks are processes of this host."""
    return {
        "Hostname": hostname,
        "Platform": {"Architecture": platform.machine(), "OS": platform.system().lower()},
        "Resources": {"NanoCPUs": (os.cpu_count() or 1) * 1_000_000_000, "MemoryBytes": _memory_bytes()},
        "Engine": {
            "EngineVersion": "swarmctl-embedded",
            "Plugins": [{"Type": "Log", "Name": name} for name in LOG_DRIVERS],
        },
    }


def _memory_bytes() -> int:
    with suppress(ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0
