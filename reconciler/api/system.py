"""/_ping, /version, /info, /distribution, and what is no swarm matter."""

from __future__ import annotations

import asyncio
import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

import msgspec
from aiohttp import web

from reconciler.api.faults import Refused, as_json
from reconciler.api.node import cluster_shown
from reconciler.api.passthrough import UNREACHABLE, Engine
from reconciler.api.ports import LocalNode, LocalState, Standing
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole

API_VERSION = "1.47"
API_VERSION_MIN = "1.24"
INFO_WAIT_S = 10.0
"""Seconds for the node's engine to say what it is."""

GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
DISTRIBUTION = "swarm-reconciler"
ENGINE_ONLY = ("containers", "images", "volumes", "exec", "build", "plugins", "commit", "session", "auth", "system")
"""What only a Docker Engine can do, by the first word of a path."""
UNSUPPORTED = (
    *("MemoryLimit", "SwapLimit", "KernelMemory", "KernelMemoryTCP", "OomKillDisable", "CPUShares", "CPUSet"),
    *("BridgeNfIptables", "BridgeNfIp6tables", "IPv4Forwarding"),
)
"""What an engine tells of its kernel's support of containers."""


@cache
def product_version() -> str:
    """Return our own version, as `docker version` shows it for the server: looked up once, and told in each answer."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # run from a source tree
        return "0"


class System(msgspec.Struct, frozen=True):
    """Handlers of what is no object."""

    node: LocalNode
    engine: Engine

    def routes(self) -> list[web.RouteDef]:
        routes = [
            web.get("/_ping", self.ping),
            web.head("/_ping", self.ping),
            web.get("/version", self.version),
            web.get("/info", self.info),
            web.get("/distribution/{image:.+}/json", self.distribution),
            web.options("/{path:.*}", self.options),
        ]
        routes += [web.get("/volumes/{name}", self.volume), web.delete("/volumes/{name}", self.volume)]
        for word in ENGINE_ONLY:
            routes += [
                web.route("*", f"/{word}", self.engine.forward),
                web.route("*", f"/{word}/{{rest:.*}}", self.engine.forward),
            ]
        return routes

    async def ping(self, _: web.Request) -> web.Response:
        headers = {
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Pragma": "no-cache",
            "Swarm": _ping_state(self.node.standing()),
        }
        return web.Response(text="OK", headers=headers)

    async def options(self, _: web.Request) -> web.Response:
        """Answer nothing, for any path, as an engine does: web pages are kept out elsewhere."""
        return web.Response()

    async def version(self, _: web.Request) -> web.Response:
        told = self.node.description().get("Platform") or {}
        version, machine = product_version(), told.get("Architecture", "")
        parts = {
            "Version": version,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": API_VERSION_MIN,
            "GitCommit": "",
            "GoVersion": "",
            "Os": told.get("OS", "linux"),
            "Arch": GO_ARCHITECTURES.get(machine, machine),
            "KernelVersion": platform.release(),
            "BuildTime": "",
        }
        details = {key: value for key, value in parts.items() if key != "Version"}
        component = {"Name": "Engine", "Version": version, "Details": {**details, "Experimental": "false"}}
        return as_json({"Platform": {"Name": "swarmctl embedded swarm"}, "Components": [component], **parts})

    async def info(self, _: web.Request) -> web.Response:
        standing = self.node.standing()
        own = await self._told_by_the_engine()
        hostname = self.node.description().get("Hostname", "")
        node = {**engine_info(self.node.description()), **standing.limits}
        told_at = {"SystemTime": datetime.now(UTC).isoformat()}
        return as_json({**node, **told_at, **own, "Name": hostname, "Swarm": await swarm_info(standing)})

    async def _told_by_the_engine(self) -> JsonObject:
        """Return what the node's engine says of itself; of one that is away, or takes too long, that it is: the swarm's
        own part is known all the same."""
        if not self.engine.is_there:
            return {}
        try:
            async with asyncio.timeout(INFO_WAIT_S):
                told = await self.engine.get("/info")
        except (Refused, TimeoutError):
            return {"Warnings": [f"WARNING: {UNREACHABLE}"]}
        return told if isinstance(told, dict) else {}

    async def distribution(self, request: web.Request) -> web.StreamResponse:
        """Know no image, where there is no engine to ask: the CLI then warns that it has no digest, and goes on.

        The status tells our own client that there is no registry to ask, rather than one that lacks the image.
        """
        if self.engine.is_there:
            return await self.engine.forward(request)
        raise Refused(501, f"no registry is asked for {request.match_info['image']}")

    async def volume(self, request: web.Request) -> web.StreamResponse:
        """Know no volume where there is no engine: then none of that name is in the way of anything."""
        if self.engine.is_there:
            return await self.engine.forward(request)
        raise Refused(404, f"get {request.match_info['name']}: no such volume")


def _ping_state(standing: Standing) -> str:
    if standing.state is not LocalState.ACTIVE:
        return str(standing.state)
    is_manager = standing.cluster is not None or standing.node_id in standing.remote_managers
    return f"active/{NodeRole.MANAGER if is_manager else NodeRole.WORKER}"


async def swarm_info(standing: Standing) -> JsonObject:
    """Return the part of GET /info that `docker info` shows under Swarm. Join tokens are in no part of it."""
    managers = [{"NodeID": node_id, "Addr": address} for node_id, address in standing.remote_managers.items()]
    told: JsonObject = {
        "NodeID": standing.node_id,
        "NodeAddr": standing.address,
        "LocalNodeState": str(standing.state),
        "ControlAvailable": standing.cluster is not None,
        "Error": standing.error,
        "RemoteManagers": managers or None,
    }
    if standing.cluster is None:
        return told
    nodes = await standing.cluster.listed(Kind.NODE)
    told["Nodes"] = len(nodes)
    told["Managers"] = sum(node.spec.get("Role") == NodeRole.MANAGER for node in nodes)
    told["Cluster"] = await cluster_shown(standing.cluster, standing)
    return told


def engine_info(description: JsonObject) -> JsonObject:
    """Return what GET /info says of the node: zero for the containers and images that aren't here."""
    resources = description.get("Resources") or {}
    machine = description.get("Platform") or {}
    plugins: dict[str, Any] = {"Volume": [], "Network": [], "Log": []}
    for plugin in (description.get("Engine") or {}).get("Plugins") or []:
        plugins.setdefault(plugin.get("Type", ""), []).append(plugin.get("Name", ""))
    labels = (description.get("Engine") or {}).get("Labels") or {}
    return {
        "ID": description.get("Hostname", ""),
        **dict.fromkeys(("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images"), 0),
        "Driver": "process",
        "DriverStatus": None,
        "Plugins": {**plugins, "Authorization": None},
        **dict.fromkeys(UNSUPPORTED, False),
        **dict.fromkeys(("HttpProxy", "HttpsProxy", "NoProxy"), ""),
        "Debug": False,
        "NFd": 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "LoggingDriver": "json-file",
        "CgroupDriver": "none",
        "KernelVersion": platform.release(),
        "OperatingSystem": "swarmctl embedded swarm",
        "OSVersion": "",
        "OSType": machine.get("OS", "linux"),
        "Architecture": machine.get("Architecture", ""),
        "IndexServerAddress": "",
        "RegistryConfig": None,
        "NCPU": int(resources.get("NanoCPUs", 0) / 1e9),
        "MemTotal": resources.get("MemoryBytes", 0),
        "GenericResources": resources.get("GenericResources"),
        "DockerRootDir": os.sep,
        "Name": description.get("Hostname", ""),
        "Labels": [f"{key}={value}" for key, value in labels.items()],
        "ExperimentalBuild": False,
        "ServerVersion": (description.get("Engine") or {}).get("EngineVersion") or product_version(),
        "Runtimes": {"process": {"path": ""}},
        "DefaultRuntime": "process",
        "LiveRestoreEnabled": False,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": [],
        "Warnings": [],
    }
