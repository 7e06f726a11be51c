"""What a manager fills in when an object is created, and nothing besides.

Source: the stored specs of 676 services that Docker Swarm was given (facts, compose.md section 5). What was sent
and is not named here is kept as it was sent.
"""

from __future__ import annotations

from typing import Any

from reconciler.model.json import JsonObject

HOUR_NS = 3_600_000_000_000
TASK_HISTORY_LIMIT = 5
MOUNT_TYPES = ("bind", "volume", "tmpfs", "npipe", "cluster")

_CLUSTER: JsonObject = {
    "Name": "default",
    "Labels": {},
    "Orchestration": {"TaskHistoryRetentionLimit": TASK_HISTORY_LIMIT},
    "Raft": {
        "SnapshotInterval": 10_000,
        "KeepOldSnapshots": 0,
        "LogEntriesForSlowFollowers": 500,
        "ElectionTick": 10,
        "HeartbeatTick": 1,
    },
    "Dispatcher": {"HeartbeatPeriod": 5_000_000_000},
    "CAConfig": {"NodeCertExpiry": 2160 * HOUR_NS},
    "TaskDefaults": {},
    "EncryptionConfig": {"AutoLockManagers": False},
}


def complete_cluster(spec: JsonObject) -> JsonObject:
    """Return a ClusterSpec with defaults for what `spec` leaves out or has at zero."""
    return _merged(_CLUSTER, spec)


def _merged(base: JsonObject, over: JsonObject) -> JsonObject:
    merged: JsonObject = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        elif value:
            merged[key] = value
    return merged


def complete_service(spec: JsonObject) -> JsonObject:
    """Return a service's spec as a manager stores it; network targets are left as they are."""
    completed = {**spec, "Labels": spec.get("Labels") or {}, "Mode": _mode(spec.get("Mode") or {})}
    completed["TaskTemplate"] = _task_template(spec.get("TaskTemplate") or {})
    # One that is not given stays away, and means vip; one that is empty is completed. (seen on an engine)
    completed.pop("EndpointSpec", None)
    if isinstance(spec.get("EndpointSpec"), dict):
        completed["EndpointSpec"] = _endpoint(spec["EndpointSpec"])
    for key in ("UpdateConfig", "RollbackConfig"):
        if isinstance(spec.get(key), dict):
            completed[key] = _filled(spec[key], {"FailureAction": "pause", "Order": "stop-first"})
    return completed


def _filled(block: JsonObject, defaults: dict[str, Any]) -> JsonObject:
    """Return `block` with `defaults` where it has nothing or an empty text."""
    return {**block, **{key: value for key, value in defaults.items() if block.get(key) in (None, "")}}


def _mode(mode: JsonObject) -> JsonObject:
    if "ReplicatedJob" in mode:
        job = mode["ReplicatedJob"] or {}
        concurrent = job.get("MaxConcurrent")
        concurrent = 1 if concurrent is None else concurrent
        total = job.get("TotalCompletions")
        return {
            "ReplicatedJob": {"MaxConcurrent": concurrent, "TotalCompletions": concurrent if total is None else total}
        }
    for name in ("Global", "GlobalJob"):
        if name in mode:
            return {**mode, name: mode[name] or {}}
    return {**mode, "Replicated": _filled(mode.get("Replicated") or {}, {"Replicas": 1})}


def _task_template(template: JsonObject) -> JsonObject:
    container = template.get("ContainerSpec") or {}
    isolation = container.get("Isolation")
    known = isolation if isolation in ("process", "hyperv") else "default"
    completed = {
        **template,
        "ContainerSpec": {**container, "Isolation": known},
        "Runtime": template.get("Runtime") or "container",
    }
    if container.get("Mounts"):
        completed["ContainerSpec"]["Mounts"] = [_mount(mount) for mount in container["Mounts"]]
    if (template.get("Placement") or {}).get("Preferences"):
        completed["Placement"] = _placement(template["Placement"])
    completed.setdefault("ForceUpdate", 0)
    if isinstance(template.get("RestartPolicy"), dict):
        completed["RestartPolicy"] = _filled(template["RestartPolicy"], {"Condition": "any", "MaxAttempts": 0})
    return completed


def _mount(mount: JsonObject) -> JsonObject:
    """Return a mount of a type, and with the propagation that an engine shows where there are options at all."""
    kind = str(mount.get("Type") or "bind")
    completed = {**mount, "Type": kind.lower() if kind.lower() in MOUNT_TYPES else kind}
    options = completed.pop("BindOptions", None)
    if isinstance(options, dict) and any(options.values()):
        options = _filled(options, {"Propagation": "rprivate"})
        completed["BindOptions"] = {**options, "Propagation": str(options["Propagation"]).lower()}
    return completed


def _placement(placement: JsonObject) -> JsonObject:
    """Return a placement without preferences that prefer nothing."""
    kept = [one for one in placement.get("Preferences") or () if one.get("Spread") is not None]
    completed = {**placement, "Preferences": kept}
    return completed if kept else {key: value for key, value in completed.items() if key != "Preferences"}


def _endpoint(endpoint: JsonObject) -> JsonObject:
    completed = _filled(endpoint, {"Mode": "vip"})
    if endpoint.get("Ports"):
        completed["Ports"] = [_port(port) for port in endpoint["Ports"]]
    return completed


def _port(port: JsonObject) -> JsonObject:
    protocol = str(port.get("Protocol") or "").lower()
    mode = str(port.get("PublishMode") or "").lower()
    return {
        **port,
        "Protocol": protocol if protocol in ("tcp", "udp", "sctp") else "tcp",
        "PublishMode": mode if mode in ("ingress", "host") else "ingress",
    }
