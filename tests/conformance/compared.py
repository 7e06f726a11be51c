"""A request that a real engine and ours are both sent, and the world that it is sent into.

A case names what it needs of the world by `$words`, which `prepared` has made there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from string import Template
from typing import Any

from tests.conformance.wire import Answered, ask

MANY = 40
"""Secrets, so that the ids of two begin with the same character."""

LOCAL_NETWORK = "of-this-node"
"""A bridge network of the engine, which ours sees too: whoever compares makes it. An engine's own ones come late."""

World = dict[str, str]


@dataclass(frozen=True)
class Case:
    """`body` is bytes as they are, or JSON, in both of which `$words` stand for the world's ids and versions."""

    name: str
    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"

    def sent(self, host: str, world: World) -> Answered:
        content = self.body
        if content is not None and not isinstance(content, bytes):
            content = json.dumps(content).encode()
        if content is not None and b"$" in content:
            content = Template(content.decode()).safe_substitute(world).encode()
        told = {"Content-Type": self.content_type} if self.content_type else {}
        path = Template(self.path).safe_substitute(world)
        return ask(host, self.method, path, content, told if content is not None else {})


def masked(text: str, world: World) -> str:
    """Return an answer's text without what no two swarms share."""
    text = text.replace(f"secret {world['shared']} is", "secret <shared> is")
    text = re.sub(r"\b[0-9a-z]{25}\b", "<id>", re.sub(r"\b[0-9a-f]{64}\b", "<hash>", text))
    text = re.sub(r"\(\d+ matches found\)", "(some matches found)", text)
    return text.rstrip("\n")


def service(name: str = "new", image: str = "busybox:latest", **fields: Any) -> dict[str, Any]:
    template: dict[str, Any] = {"ContainerSpec": {"Image": image, "Command": ["sleep", "1000"]}}
    for key in ("ContainerSpec", "TaskTemplate"):
        extra = fields.pop(key, {})
        (template["ContainerSpec"] if key == "ContainerSpec" else template).update(extra)
    return {"Name": name, "TaskTemplate": template, "Mode": {"Replicated": {"Replicas": 0}}, **fields}


def port(published: int = 8080, target: int = 80, **fields: Any) -> dict[str, Any]:
    return {"Ports": [{"Protocol": "tcp", "TargetPort": target, "PublishedPort": published, **fields}]}


def prepared(host: str) -> World:
    """Begin a swarm at an engine that is in none, and make in it what the cases are about."""
    ask(host, "POST", "/swarm/leave?force=1")

    def made(path: str, body: Any) -> str:
        answer = ask(host, "POST", path, body)
        assert answer.status < 300, (path, answer.body)
        found = answer.json
        return str(found if isinstance(found, str) else found.get("ID") or found["Id"])

    world = {"node": made("/swarm/init", {"ListenAddr": "127.0.0.1:17377", "AdvertiseAddr": "127.0.0.1"})}
    world["secret"] = made("/secrets/create", {"Name": "held", "Data": "eA=="})
    world["free"] = made("/secrets/create", {"Name": "free", "Data": "eA=="})
    world["config"] = made("/configs/create", {"Name": "held", "Data": "eA=="})
    world["net"] = made(
        "/networks/create", {"Name": "net", "Driver": "overlay", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}}
    )
    uses = {
        "Secrets": [
            {
                "SecretID": world["secret"],
                "SecretName": "held",
                "File": {"Name": "f", "UID": "0", "GID": "0", "Mode": 292},
            }
        ],
        "Configs": [
            {
                "ConfigID": world["config"],
                "ConfigName": "held",
                "File": {"Name": "f", "UID": "0", "GID": "0", "Mode": 292},
            }
        ],
    }
    body = service(
        "web", EndpointSpec=port(), ContainerSpec=uses, TaskTemplate={"Networks": [{"Target": world["net"]}]}
    )
    world["web"] = made("/services/create", body)
    world["global"] = made("/services/create", {**service("everywhere"), "Mode": {"Global": {}}, "Labels": {"a": "b"}})
    ids = [made("/secrets/create", {"Name": f"many{number}", "Data": "eA=="}) for number in range(MANY)]
    firsts = [one[0] for one in ids]
    world["shared"] = next(first for first in firsts if firsts.count(first) > 1)
    for word, path in (("webv", "/services/web"), ("heldv", "/secrets/held"), ("confv", "/configs/held"),
                       ("nodev", f"/nodes/{world['node']}"), ("swarmv", "/swarm")):  # fmt: skip
        world[word] = str(ask(host, "GET", path).json["Version"]["Index"])
    return world
