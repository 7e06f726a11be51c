"""/_ping, /version, /info and the little of /swarm that tells what this daemon is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from aiohttp import web

from reconciler.api.faults import ALREADY_IN_A_SWARM, Refused, as_json
from reconciler.api.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole, ObservedObject

API_VERSION = "1.47"
API_VERSION_MIN = "1.24"
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
DISTRIBUTION = "swarm-reconciler"


def product_version() -> str:
    """Return our own version, as `docker version` shows it for the server."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # run from a source tree
        return "0"


def own_node(actual: ActualState) -> ObservedObject | None:
    """Return the node that answers: the leader, or where none is known the first manager."""
    managers = [node for node in actual.nodes if node.spec.get("Role") == NodeRole.MANAGER]
    leading = (node for node in managers if node.dig("ManagerStatus", "Leader"))
    return next(leading, managers[0] if managers else None)


@dataclass(frozen=True, slots=True)
class System:
    """Handlers of what is no object."""

    cluster: Cluster

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_ping", self.ping),
            web.head("/_ping", self.ping),
            web.get("/version", self.version),
            web.get("/info", self.info),
            web.post("/swarm/init", self.already_in_a_swarm),
            web.post("/swarm/join", self.already_in_a_swarm),
            web.post("/swarm/unlock", self.not_locked),
            web.get("/swarm/unlockkey", self.unlock_key),
            web.get("/distribution/{image:.+}/json", self.distribution),
        ]

    async def ping(self, _: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-cache, no-store, must-revalidate", "Swarm": "active/manager"}
        return web.Response(text="OK", headers=headers)

    async def version(self, _: web.Request) -> web.Response:
        node = own_node(await self.cluster.observe())
        platform = (node.dig("Description", "Platform") if node else None) or {}
        version, machine = product_version(), platform.get("Architecture", "")
        parts = {
            "Version": version,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": API_VERSION_MIN,
            "Os": platform.get("OS", "linux"),
            "Arch": GO_ARCHITECTURES.get(machine, machine),
        }
        component = {"Name": "Engine", "Version": version, "Details": {**parts, "Experimental": "false"}}
        return as_json({"Platform": {"Name": "swarmctl embedded swarm"}, "Components": [component], **parts})

    async def info(self, _: web.Request) -> web.Response:
        actual = await self.cluster.observe()
        return as_json(info(actual))

    async def already_in_a_swarm(self, _: web.Request) -> web.Response:
        raise Refused(503, ALREADY_IN_A_SWARM)

    async def not_locked(self, _: web.Request) -> web.Response:
        raise Refused(409, "swarm is not locked")

    async def unlock_key(self, _: web.Request) -> web.Response:
        return as_json({"UnlockKey": ""})

    async def distribution(self, request: web.Request) -> web.Response:
        """Know no image: the CLI then warns that it could not pin a digest, and goes on.

        The status tells our own client that there is no registry to ask, rather than one that lacks the image.
        """
        raise Refused(501, f"no registry is asked for {request.match_info['image']}")


def info(actual: ActualState) -> JsonObject:
    """Return GET /info: what the CLI needs to know about the swarm, and zero for the containers that aren't here."""
    node = own_node(actual)
    description: JsonObject = (node.dig("Description") if node else None) or {}
    resources = description.get("Resources") or {}
    platform = description.get("Platform") or {}
    managers = [found for found in actual.nodes if found.spec.get("Role") == NodeRole.MANAGER]
    plugins: dict[str, list[str]] = {"Volume": [], "Network": [], "Log": []}
    for plugin in (description.get("Engine") or {}).get("Plugins") or []:
        plugins.setdefault(plugin.get("Type", ""), []).append(plugin.get("Name", ""))
    swarm = {key: value for key, value in actual.swarm.raw.items() if key != "JoinTokens"}
    return {
        "ID": node.id if node else "",
        "Name": node.name if node else "",
        "ServerVersion": product_version(),
        "OperatingSystem": "swarmctl embedded swarm",
        "OSType": platform.get("OS", "linux"),
        "Architecture": platform.get("Architecture", ""),
        "NCPU": int(resources.get("NanoCPUs", 0) / 1e9),
        "MemTotal": resources.get("MemoryBytes", 0),
        **dict.fromkeys(("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images"), 0),
        "Driver": "process",
        "Plugins": {**plugins, "Authorization": None},
        "SecurityOptions": [],
        "Warnings": [],
        "Swarm": {
            "NodeID": node.id if node else "",
            "NodeAddr": (node.dig("Status", "Addr") if node else "") or "",
            "LocalNodeState": "active",
            "ControlAvailable": True,
            "Error": "",
            "RemoteManagers": [
                {"NodeID": found.id, "Addr": found.dig("ManagerStatus", "Addr") or ""} for found in managers
            ],
            "Nodes": len(actual.nodes),
            "Managers": len(managers),
            "Cluster": swarm,
        },
    }
