"""What the engine is asked to create for a task. Pure. (moby daemon/cluster/executor/container/container.go)"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence

from reconciler.adapters.process_runtime.environment import expand, expand_file
from reconciler.model.assignments import Assignment, AttachedNetwork, MountedFile
from reconciler.model.json import JsonObject

NODE_LABEL = "com.docker.swarm.node.id"
TASK_LABEL = "com.docker.swarm.task.id"
NETWORK_LABEL = "com.docker.swarm.network.id"
SECRETS_FOLDER = "run/secrets"
LOCAL_DRIVERS = ("bridge", "host", "none")


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


def create_body(
    assignment: Assignment, networks: dict[str, str | None], files: Sequence[JsonObject] = ()
) -> JsonObject:
    """Return the body of POST /containers/create.

    `networks` are the engine's networks to attach to: {name: the address wanted there, None for any}. Empty: the
    engine's default one. `files` are mounts beside the service's own.
    """
    spec = assignment.container
    body: JsonObject = {
        "Image": spec.get("Image", ""),
        "Labels": labels(assignment),
        "Env": [*(expand(str(entry), assignment) for entry in spec.get("Env") or ()), *assignment.resource_variables],
        "Hostname": expand(str(spec.get("Hostname") or ""), assignment),
        "User": spec.get("User") or "",
        "WorkingDir": spec.get("Dir") or "",
        "Tty": bool(spec.get("TTY")),
        "OpenStdin": bool(spec.get("OpenStdin")),
        "HostConfig": _host_config(assignment),
    }
    body["HostConfig"]["Mounts"] += files
    if bindings := body["HostConfig"]["PortBindings"]:
        body["ExposedPorts"] = {port: {} for port in bindings}
    for field, name in (("Command", "Entrypoint"), ("Args", "Cmd"), ("Healthcheck", "Healthcheck")):
        if spec.get(field):
            body[name] = spec[field]
    if spec.get("StopSignal"):
        body["StopSignal"] = spec["StopSignal"]
    if networks:
        first = next(iter(networks))
        body["HostConfig"]["NetworkMode"] = first
        body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoint(assignment, first, networks[first])}}
    return body


def endpoint(assignment: Assignment, name: str, address: str | None) -> JsonObject:
    """Return how a container is on the network `name`: found by its service's name, by `tasks.NAME` and by its aliases
    there, and `tasks.ALIAS`. The engine's own networks know no names."""
    joined = next((one for one in assignment.networks if name == one.name and one.driver not in LOCAL_DRIVERS), None)
    if joined is None:
        return {}
    aliases = [assignment.service_name]
    for wanted in assignment.spec.get("Networks") or ():
        if wanted.get("Target") in (joined.id, joined.name):
            aliases += wanted.get("Aliases") or ()
    names = [*aliases, *(f"tasks.{alias}" for alias in aliases)]
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
        "ExtraHosts": [_extra_host(entry) for entry in spec.get("Hosts") or ()] or None,
        "GroupAdd": spec.get("Groups") or None,
        "PortBindings": _port_bindings(assignment),
        "SecurityOpt": _security_options(spec.get("Privileges") or {}) or None,
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
    limits = resources.get("Limits") or {}
    found = {
        "NanoCpus": limits.get("NanoCPUs"),
        "Memory": limits.get("MemoryBytes"),
        "PidsLimit": limits.get("Pids"),
    }
    return {name: value for name, value in found.items() if value}


def _port(port: JsonObject) -> str:
    return f"{port['TargetPort']}/{port.get('Protocol', 'tcp')}"


def _port_bindings(assignment: Assignment) -> JsonObject:
    """Return what the engine itself publishes: the ports in host mode. It chooses a number where none is asked for."""
    bindings: JsonObject = {}
    for port in assignment.ports:
        if port.get("PublishMode") == "host":
            bindings.setdefault(_port(port), []).append({"HostPort": str(port.get("PublishedPort") or "")})
    return bindings


def _security_options(privileges: JsonObject) -> list[str]:
    """Return a service's privileges as the engine's options. (container.go, applyPrivileges)"""
    options: list[str] = []
    for source, value in (privileges.get("CredentialSpec") or {}).items():
        scheme = {"File": "file", "Registry": "registry", "Config": "config"}.get(source)
        if scheme and value:
            options.append(f"credentialspec={scheme}://{value}")
    context = privileges.get("SELinuxContext") or {}
    if context.get("Disable"):
        options.append("label=disable")
    for name in ("User", "Role", "Level", "Type"):
        if context.get(name):
            options.append(f"label={name.lower()}:{context[name]}")
    return options


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
        "Labels": {NETWORK_LABEL: network.id},
    }
    if network.subnet:
        body["IPAM"] = {"Driver": "default", "Config": [{"Subnet": network.subnet}]}
    return body


def task_files(assignment: Assignment) -> list[tuple[str, MountedFile]]:
    """Return a task's secrets and configs, each with its path from the container's root."""
    files = [(_secret_path(file), file) for file in assignment.secrets]
    return files + [(file.target.lstrip("/"), file) for file in assignment.configs]


def files_archive(assignment: Assignment) -> bytes | None:
    """Return a tar of the task's secrets and configs, by paths from the container's root; None for no files."""
    files = task_files(assignment)
    if not files:
        return None
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, file in files:
            content = file_content(file, assignment)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(content), file.mode, file.uid, file.gid
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _secret_path(file: MountedFile) -> str:
    return file.target.lstrip("/") if file.target.startswith("/") else f"{SECRETS_FOLDER}/{file.target}"


def file_content(file: MountedFile, assignment: Assignment) -> bytes:
    """Return what a file shall hold, its placeholders filled in where it is a template."""
    if not file.templated:
        return file.content
    return expand_file(file.content, assignment)
