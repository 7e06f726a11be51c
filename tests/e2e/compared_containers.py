"""Services of which two engines make containers, and what of their inspection is to be the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SECOND = 1_000_000_000
COMPARED: dict[str, dict[str, Any]] = {
    "rich": {
        "ContainerSpec": {
            "Args": ["sleep", "1000"],
            "Labels": {"a": "b"},
            "TTY": True,
            "ReadOnly": True,
            "Env": ["A=1", "T={{.Task.Slot}}", "N={{.Node.Hostname}}"],
            "Hostname": "{{.Service.Name}}-{{.Task.Slot}}",
            "User": "0:8",
            "Dir": "/tmp/x",
            "Groups": ["9"],
            "StopSignal": "SIGKILL",
            "StopGracePeriod": 3 * SECOND,
            "Init": False,
            "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            "CapabilityAdd": ["CAP_NET_ADMIN"],
            "CapabilityDrop": ["CAP_CHOWN"],
            "Sysctls": {"net.core.somaxconn": "77"},
            "Hosts": ["1.2.3.4 one uno", "1.2.3.5 two"],
            "DNSConfig": {"Nameservers": ["9.9.9.9"], "Search": ["example.com"], "Options": ["ndots:3"]},
            "Privileges": {"SELinuxContext": {"Disable": True}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": SECOND, "Retries": 2, "StartPeriod": SECOND},
        },
        "Resources": {
            "Limits": {"NanoCPUs": SECOND // 2, "MemoryBytes": 64 << 20, "Pids": 50},
            "Reservations": {"MemoryBytes": 32 << 20},
        },
        "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
    },
    "mounted": {
        "ContainerSpec": {
            "Command": ["sleep", "1000"],
            "StopSignal": "SIGKILL",
            "Mounts": [
                {
                    "Type": "volume",
                    "Source": "vol-{{.Task.Slot}}",
                    "Target": "/data",
                    "VolumeOptions": {
                        "Labels": {"x": "y"},
                        "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}},
                    },
                },
                {"Type": "bind", "Source": "/usr/share", "Target": "/share", "ReadOnly": True},
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
            ],
        }
    },
    "networked": {
        "ContainerSpec": {"Command": ["sleep", "1000"], "StopSignal": "SIGKILL"},
        "Networks": [{"Target": "compared", "Aliases": ["ali"]}],
    },
}
OWN = (
    ".Created",
    ".State",
    ".Name",
    ".LogPath",
    ".HostnamePath",
    ".HostsPath",
    ".ResolvConfPath",
    ".Image",
    ".ExecIDs",  # a health check that is under way
)
"""Of each container alone, or empty in two ways."""

PLACES = ("EndpointID", "NetworkID", "SandboxID", "SandboxKey", "IPAddress", "MacAddress", "Source", "CgroupParent")
BRIDGE = {
    # What stands for an overlay on one engine is a bridge, which knows tasks by its own names and leads out.
    ".HostConfig.NetworkMode",
    ".NetworkSettings.Networks.compared.Aliases",
    ".NetworkSettings.Networks.compared.IPAMConfig.IPv4Address",  # of the next free subnet of each
    ".NetworkSettings.Networks.compared.Gateway",
}


def flat(path: str, found: Any) -> Iterator[tuple[str, Any]]:
    """Return what is in a container's inspection as (path, value), what is empty and what is its own left out."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from flat(f"{path}.{key}", value)
    elif isinstance(found, list) and found and isinstance(found[0], dict):
        for number, value in enumerate(sorted(found, key=lambda one: str(one.get("Target") or one.get("Destination")))):
            yield from flat(f"{path}.{number}", value)
    elif found not in (None, "", [], 0, False) and not path.startswith(OWN) and not path.endswith(PLACES):
        yield path, found
