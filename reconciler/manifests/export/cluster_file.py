"""swarm.yaml of a live cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from reconciler.manifests.export.quantities import duration_text
from reconciler.manifests.export.sections import filled, network_definition, stack_of, stays
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import ObservedObject
from reconciler.model.subnets import plain_subnet

HEADER: Final = "# Imported from a live swarm by swarmctl. `swarmctl diff` compares the two.\n\n"
_NETWORK_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY_NS: Final = 24 * 3_600_000_000_000
_SETTINGS: Final[tuple[tuple[str, tuple[str, str], JsonValue], ...]] = (
    ("taskHistoryLimit", ("Orchestration", "TaskHistoryRetentionLimit"), 5),
    ("heartbeatPeriod", ("Dispatcher", "HeartbeatPeriod"), 5_000_000_000),
    ("certExpiry", ("CAConfig", "NodeCertExpiry"), 90 * _DAY_NS),
    ("snapshotInterval", ("Raft", "SnapshotInterval"), 10_000),
    ("keepOldSnapshots", ("Raft", "KeepOldSnapshots"), 0),
    ("logEntriesForSlowFollowers", ("Raft", "LogEntriesForSlowFollowers"), 500),
    ("electionTick", ("Raft", "ElectionTick"), 10),
    ("heartbeatTick", ("Raft", "HeartbeatTick"), 1),
    ("autolock", ("EncryptionConfig", "AutoLockManagers"), False),
)
"""What a fresh swarm has: key of swarm.yaml, field of the ClusterSpec, default. Source: swarmkit's defaults."""
_PERIODS: Final = ("heartbeatPeriod", "certExpiry")


def cluster_document(actual: ActualState, name: str, stacks: Iterable[JsonObject]) -> JsonObject:
    """Return swarm.yaml: settings that are not the defaults, nodes, networks outside stacks, and `stacks` as given."""
    listed = list(stacks)
    spec = filled({"settings": _settings(actual.swarm.spec), "nodes": _nodes(actual), "networks": _networks(actual)})
    return {
        "apiVersion": "swarmctl/v1",
        "kind": "Cluster",
        "metadata": {"name": name},
        # Without the key every file under stacks/ would count.
        "spec": spec | {"stacks": listed},
    }


def _settings(spec: JsonObject) -> JsonObject:
    settings: JsonObject = {}
    for key, path, default in _SETTINGS:
        value = dig(spec, *path)
        if value is not None and value != default:
            settings[key] = duration_text(value) if key in _PERIODS else value
    return settings


def _nodes(actual: ActualState) -> list[JsonObject]:
    hostnames = Counter(node.name for node in actual.nodes)
    nodes = []
    for node in sorted(actual.nodes, key=lambda one: (one.spec.get("Role") != "manager", one.name, one.id)):
        by_hostname = node.name and hostnames[node.name] == 1
        selector = {"hostname": node.name} if by_hostname else {"id": node.id}
        asked = {
            "role": node.spec.get("Role"),
            "availability": node.spec.get("Availability"),
            "labels": dict(node.labels),
        }
        nodes.append(selector | filled(asked))
    return nodes


def is_declarable(network: ObservedObject) -> bool:
    """Return whether swarm.yaml can declare a network: one of the swarm, for users, with a name that is allowed."""
    ours = network.raw.get("Scope", "swarm") == "swarm" and not network.raw.get("Ingress")
    overlay = (network.spec.get("Driver") or "overlay") == "overlay"
    return bool(ours and overlay and not network.raw.get("ConfigOnly") and _NETWORK_NAME.fullmatch(network.name))


def _networks(actual: ActualState) -> JsonObject:
    return {
        network.name: _network(network.spec) | ({"prune": False} if stays(network) else {})
        for network in sorted(actual.networks, key=lambda one: one.name)
        if stack_of(network) is None and is_declarable(network)
    }


def _network(spec: JsonObject) -> JsonObject:
    """Return a network as swarm.yaml declares it; one pool of addresses needs no `ipam`."""
    plain = network_definition(spec, None)
    ipam = spec.get("IPAM") or {}
    pools = [
        filled(
            {
                "subnet": plain_subnet(pool.get("Subnet") or ""),
                "ipRange": pool.get("IPRange"),
                "gateway": pool.get("Gateway"),
            }
        )
        for pool in ipam.get("Config") or []
    ]
    driver = ipam.get("Driver") if ipam.get("Driver") != "default" else None
    block = filled({"driver": driver, "options": ipam.get("Options"), "config": pools if len(pools) > 1 else None})
    keys = filled({key: plain.get(key) for key in ("driver", "attachable", "internal")})
    return keys | filled(
        {
            "driverOpts": plain.get("driver_opts"),
            **(pools[0] if len(pools) == 1 else {}),
            "ipam": block,
            "labels": plain.get("labels"),
        }
    )
