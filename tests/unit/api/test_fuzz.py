"""Requests of every kind, mangled: none makes the daemon fail, hang or stop. FUZZ_REQUESTS=10000 for more."""

from __future__ import annotations

import copy
import json
import logging
import os
import random
from typing import Any

import pytest

from reconciler.api.faults import STALE
from tests.unit.api.conftest import Api

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "600"))
SEED = int(os.environ.get("SEED") or 1)

SPEC: dict[str, Any] = {
    "Name": "web",
    "Labels": {"a": "b"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "i:1",
            "Command": ["sleep", "1000"],
            "Args": ["x"],
            "Env": ["A=1"],
            "Hostname": "h",
            "Mounts": [{"Type": "volume", "Source": "s", "Target": "/t", "VolumeOptions": {"Labels": {"l": "1"}}}],
            "Secrets": [{"SecretID": "x", "SecretName": "n", "File": {"Name": "f", "UID": "0", "GID": "0", "Mode": 1}}],
            "Configs": [{"ConfigID": "x", "ConfigName": "n", "File": {"Name": "f", "UID": "0", "GID": "0", "Mode": 1}}],
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 10**9, "Timeout": 10**9, "Retries": 3},
            "StopGracePeriod": 10**9,
            "DNSConfig": {"Nameservers": ["1.1.1.1"]},
            "Ulimits": [{"Name": "nofile", "Hard": 1, "Soft": 1}],
            "Sysctls": {"a": "b"},
        },
        "Resources": {
            "Limits": {"NanoCPUs": 10**9, "MemoryBytes": 10**8, "Pids": 5},
            "Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}]},
        },
        "RestartPolicy": {"Condition": "any", "Delay": 10**9, "MaxAttempts": 1, "Window": 10**9},
        "Placement": {
            "Constraints": ["node.role==manager"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.z"}}],
            "MaxReplicas": 1,
            "Platforms": [{"OS": "linux", "Architecture": "x86_64"}],
        },
        "Networks": [{"Target": "host", "Aliases": ["a"], "DriverOpts": {"a": "b"}}],
        "LogDriver": {"Name": "json-file", "Options": {"a": "b"}},
        "ForceUpdate": 1,
        "Runtime": "container",
    },
    "Mode": {"Replicated": {"Replicas": 1}},
    "UpdateConfig": {"Parallelism": 1, "Delay": 1, "FailureAction": "pause", "Monitor": 1, "MaxFailureRatio": 0.1},
    "RollbackConfig": {"Parallelism": 1, "Order": "stop-first"},
    "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080}]},
}
NETWORK = {
    "Name": "net",
    "Driver": "overlay",
    "Internal": False,
    "Attachable": True,
    "Ingress": False,
    "IPAM": {
        "Driver": "default",
        "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1", "IPRange": "10.9.0.0/25"}],
    },
    "Options": {"encrypted": ""},
    "Labels": {"a": "b"},
}
BODIES: dict[str, dict[str, Any]] = {
    "/services/create": SPEC,
    "/services/web/update": SPEC,
    "/networks/create": NETWORK,
    "/secrets/create": {"Name": "s", "Data": "eA==", "Labels": {"a": "b"}, "Driver": {"Name": "d"}, "Templating": {}},
    "/configs/create": {"Name": "c", "Data": "eA==", "Labels": {"a": "b"}, "Templating": {"Name": "golang"}},
    "/secrets/s/update": {"Name": "s", "Labels": {"a": "c"}},
    "/configs/c/update": {"Name": "c", "Labels": {"a": "c"}},
    "/nodes/node2/update": {"Role": "worker", "Availability": "active", "Labels": {"a": "b"}, "Name": "n"},
    "/swarm/update": {
        "Name": "default",
        "Labels": {},
        "Orchestration": {"TaskHistoryRetentionLimit": 5},
        "Raft": {"SnapshotInterval": 10000, "ElectionTick": 10, "HeartbeatTick": 1},
        "Dispatcher": {"HeartbeatPeriod": 5 * 10**9},
        "CAConfig": {"NodeCertExpiry": 7776 * 10**12},
        "EncryptionConfig": {"AutoLockManagers": False},
    },
    "/swarm/init": {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "x", "Spec": {}},
    "/swarm/join": {"RemoteAddrs": ["x:1"], "JoinToken": "x"},
    "/swarm/unlock": {"UnlockKey": "x"},
    "/networks/prune": {},
}
READ = ("services", "tasks", "nodes", "networks", "secrets", "configs", "swarm", "info", "version", "_ping")
NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    -(2**63),
    10**30,
    1.5,
    "",
    " ",
    "x" * 5000,
    "\x00",
    "\ud800",
    "é\u202e",
    "../../etc",
    "{{.Task.Slot}}",
    [],
    [[]],
    [None],
    {},
    {"": ""},
    {"a": {"b": [1]}},
    "node.role==",
    "0.0.0.0/0",
    "::/0",
)


def mangled(chance: random.Random, value: Any) -> Any:
    """Return a copy of some JSON in which one thing is another."""
    value = copy.deepcopy(value)
    holder, key, inner = None, None, value
    while isinstance(inner, dict | list) and inner and (holder is None or chance.random() < 0.85):
        holder = inner
        key = chance.choice(list(inner)) if isinstance(inner, dict) else chance.randrange(len(inner))
        inner = holder[key]
    if holder is None:
        return chance.choice(NASTY)
    if isinstance(holder, dict) and chance.random() < 0.15:
        del holder[key]
    elif isinstance(holder, list) and chance.random() < 0.15:
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(NASTY)
    return value


def a_request(chance: random.Random, version: int) -> tuple[str, str, dict[str, Any]]:
    if chance.random() < 0.3:
        key = chance.choice(["name", "id", "label", "node", "service", "desired-state", "mode", "role", "scope", "x"])
        filters = mangled(chance, {key: [chance.choice(["a", "web", "running", "[", "(" * 50])]})
        path = chance.choice(READ) + chance.choice(["", "", "/web", "/%00", "/" + "9" * 300, "/web/logs", "/a%2Fb"])
        query = {"filters": json.dumps(filters), "status": "1", "stdout": "1", "tail": chance.choice(["", "x", "-1"])}
        return chance.choice(["GET", "GET", "GET", "HEAD", "DELETE", "PUT"]), f"/v1.41/{path}", {"params": query}
    path = chance.choice(list(BODIES))
    body = BODIES[path]
    for _ in range(chance.randrange(4)):
        body = mangled(chance, body)
    content = json.dumps(body).encode()
    if chance.random() < 0.1:
        content = content[: chance.randrange(len(content) + 1)] + chance.randbytes(3)
    query = {"version": chance.choice([str(version), str(version), "1", "x", "-1", str(2**64)])}
    if chance.random() < 0.1:
        query["rollback"] = chance.choice(["previous", "x"])
    return "POST", path, {"data": content, "params": query, "headers": {"Content-Type": "application/json"}}


async def test_no_request_makes_the_daemon_fail(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    chance = random.Random(SEED)
    version = 0
    for number in range(REQUESTS):
        if number % 10 == 0:
            for path in ("services/web", "swarm"):
                found = await api.ask("GET", f"/{path}")
                version = found.json.get("Version", {}).get("Index", version)
        method, path, options = a_request(chance, version)
        answer = await api.ask(method, path, **options)
        told = f"{method} {path} {options} -> {answer.status} {answer.body[:300]!r}"
        assert answer.status in (501, 503) or answer.status < 500 or (answer.json or {}).get("message") == STALE, told
        assert not [record for record in caplog.records if "failed" in record.getMessage()], told
    for kind in ("services", "networks", "tasks", "nodes", "secrets", "configs", "swarm", "info"):
        assert (await api.ask("GET", f"/{kind}")).status == 200
