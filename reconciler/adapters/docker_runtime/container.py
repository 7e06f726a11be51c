"""What the engine is asked to create for a task. Pure. (moby daemon/cluster/executor/container/container.go)"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from reconciler.adapters.process_runtime.environment import expand
from reconciler.model.assignments import Assignment, AttachedNetwork, MountedFile
from reconciler.model.json import JsonObject

NODE_LABEL = "com.docker.swarm.node.id"
TASK_LABEL = "com.docker.swarm.task.id"
SECRETS_FOLDER = "run/secrets"


def labels(assignment: Assignment) -> dict[str, str]:
    """Return a container's labels: the service's for it, and those by which Swarm's own are told."""
    own = {
        NODE_LABEL: assignment.node_id,
        "com.docker.swarm.service.id": assignment.service_id,
        "com.docker.swarm.service.name": assignment.service_name,
        "com.docker.swarm.task": "",
        TASK_LABEL: assignment.task_id,
        "com.docker.swarm.task.name": assignment.task_name,
    }
    return {**(assignment.container.get("Labels") or {}), **own}


def create_body(assignment: Assignment, networks: dict[str, str | None]) -> JsonObject:
    """Return the body of POST /containers/create.

    `networks` are the engine's networks to attach to: {name: the address wanted there, None for any}. Empty: the
    engine's default one.
    """
    spec = assignment.container
    body: JsonObject = {
        "Image": spec.get("Image", ""),
        "Labels": labels(assignment),
        "Env": [expand(str(entry), assignment) for entry in spec.get("Env") or ()],
        "Hostname": expand(str(spec.get("Hostname") or ""), assignment),
        "User": spec.get("User") or "",
        "WorkingDir": spec.get("Dir") or "",
        "Tty": bool(spec.get("TTY")),
        "OpenStdin": bool(spec.get("OpenStdin")),
        "HostConfig": _host_config(assignment),
    }
    for field, name in (("Command", "Entrypoint"), ("Args", "Cmd"), ("Healthcheck", "Healthcheck")):
        if spec.get(field):
            body[name] = spec[field]
    if spec.get("StopGracePeriod") is not None:
        body["StopTimeout"] = int(spec["StopGracePeriod"] / 1e9)
    if spec.get("StopSignal"):
        body["StopSignal"] = spec["StopSignal"]
    if networks:
        first = next(iter(networks))
        body["HostConfig"]["NetworkMode"] = first
        body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoint(assignment, networks[first])}}
    return body


def endpoint(assignment: Assignment, address: str | None, aliases: Iterable[str] = ()) -> JsonObject:
    """Return how a container is on a network: found by its service's name, by `tasks.NAME` and by its aliases."""
    names = [assignment.service_name, f"tasks.{assignment.service_name}", *aliases]
    for wanted in assignment.spec.get("Networks") or ():
        names += wanted.get("Aliases") or ()
    settings: JsonObject = {"Aliases": list(dict.fromkeys(names))}
    if address:
        settings["IPAMConfig"] = {"IPv4Address": address}
    return settings


def _host_config(assignment: Assignment) -> JsonObject:
    spec = assignment.container
    host: JsonObject = {
        # The container says "Capability...", the engine's older form "Cap...".
        "CapAdd": spec.get("CapabilityAdd") or None,
        "CapDrop": spec.get("CapabilityDrop") or None,
        "ReadonlyRootfs": bool(spec.get("ReadOnly")),
        "Mounts": [_mount(mount, assignment) for mount in spec.get("Mounts") or ()],
        "ExtraHosts": [_extra_host(entry) for entry in spec.get("Hosts") or ()],
        "GroupAdd": spec.get("Groups") or None,
        **_limits(assignment.spec.get("Resources") or {}),
    }
    for name in ("Init", "Isolation", "OomScoreAdj", "Sysctls", "Ulimits"):
        if spec.get(name) not in (None, ""):
            host[name] = spec[name]
    dns = spec.get("DNSConfig") or {}
    for field, name in (("Nameservers", "Dns"), ("Search", "DnsSearch"), ("Options", "DnsOptions")):
        if dns.get(field):
            host[name] = dns[field]
    driver = assignment.spec.get("LogDriver") or {}
    if driver.get("Name"):
        host["LogConfig"] = {"Type": driver["Name"], "Config": driver.get("Options") or {}}
    return host


def _limits(resources: JsonObject) -> JsonObject:
    limits, reserved = resources.get("Limits") or {}, resources.get("Reservations") or {}
    found = {
        "NanoCpus": limits.get("NanoCPUs"),
        "Memory": limits.get("MemoryBytes"),
        "PidsLimit": limits.get("Pids"),
        "MemoryReservation": reserved.get("MemoryBytes"),
    }
    return {name: value for name, value in found.items() if value}


def _mount(mount: JsonObject, assignment: Assignment) -> JsonObject:
    return {**mount, "Source": expand(str(mount["Source"]), assignment)} if mount.get("Source") else mount


def _extra_host(entry: str) -> str:
    """Return `name:ip` for the service's `ip name`."""
    address, _, name = str(entry).partition(" ")
    return f"{name.split(' ')[0]}:{address}"


def network_body(network: AttachedNetwork) -> JsonObject:
    """Return the body of POST /networks/create for the bridge that stands for an overlay network."""
    body: JsonObject = {
        "Name": network.name,
        "Driver": "bridge",
        "Internal": network.internal,
        "CheckDuplicate": True,
        "Labels": {"com.docker.swarm.network.id": network.id},
    }
    if network.subnet:
        body["IPAM"] = {"Driver": "default", "Config": [{"Subnet": network.subnet}]}
    return body


def files_archive(assignment: Assignment) -> bytes | None:
    """Return a tar of the task's secrets and configs, by paths from the container's root; None for no files."""
    files = [(_secret_path(file), file) for file in assignment.secrets]
    files += [(file.target.lstrip("/"), file) for file in assignment.configs]
    if not files:
        return None
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, file in files:
            content = _content(file, assignment)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), file.mode, file.uid, file.gid
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _secret_path(file: MountedFile) -> str:
    return file.target.lstrip("/") if file.target.startswith("/") else f"{SECRETS_FOLDER}/{file.target}"


def _content(file: MountedFile, assignment: Assignment) -> bytes:
    if not file.templated:
        return file.content
    return expand(file.content.decode("utf-8", "surrogateescape"), assignment).encode("utf-8", "surrogateescape")
