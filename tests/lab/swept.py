"""Bringing the lab's swarm back to what it was, so that one lab serves all tests."""

from __future__ import annotations

import time
from typing import Any

import docker

from tests.lab.lab import Lab

SWEEP_WAIT_S = 120.0
POLL_S = 0.05
ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "orphaned", "remove"})
"""An engine of 20.10 may keep the dead tasks of a removed job for good."""


def sweep(lab: Lab) -> None:
    """Remove every service, secret, config and network that a test left, and undo what it did to nodes and settings."""
    deadline = time.monotonic() + SWEEP_WAIT_S
    with lab.manager.client() as client:
        while not _has_begun(lab, client):
            if time.monotonic() > deadline:
                raise RuntimeError(f"The lab's swarm takes no writes: {_left(lab, client)}")
            time.sleep(POLL_S)
        while not _is_swept(lab, client):
            if time.monotonic() > deadline:
                raise RuntimeError(f"The lab's swarm did not come back to what it was: {_left(lab, client)}")
            time.sleep(POLL_S)


def _has_begun(lab: Lab, client: docker.APIClient) -> bool:
    """Ask for all that is to change; return whether a leader took it. Managers may just be electing one, and what one
    of them lists may be gone already.
    """
    try:
        for service in client.services():
            client.remove_service(service["ID"])
        for secret in client.secrets():
            client.remove_secret(secret["ID"])
        for config in client.configs():
            client.remove_config(config["ID"])
        _restore_nodes(lab, client)
        _restore_settings(lab, client)
    except docker.errors.APIError as error:
        if error.response.status_code < 500 and not isinstance(error, docker.errors.NotFound):
            raise
        return False
    return True


def _is_swept(lab: Lab, client: docker.APIClient) -> bool:
    if any(task["Status"]["State"] not in ENDED for task in client.tasks()):
        return False
    for network in client.networks(filters={"scope": "swarm"}):
        if not network["Ingress"]:
            client.remove_network(network["Id"])
    nodes = client.nodes()
    roles = {node["Description"]["Hostname"]: "ManagerStatus" in node for node in nodes}
    expected = {engine.name: engine is lab.manager for engine in (lab.manager, *lab.workers)}
    return roles == expected and all(node["Status"]["State"] == "ready" for node in nodes)


def _restore_nodes(lab: Lab, client: docker.APIClient) -> None:
    for node in client.nodes():
        role = "manager" if node["Description"]["Hostname"] == lab.manager.name else "worker"
        wanted: dict[str, Any] = {"Availability": "active", "Labels": {}, "Role": role}
        if {**node["Spec"], "Labels": node["Spec"].get("Labels") or {}} != wanted:
            client.update_node(node["ID"], node["Version"]["Index"], wanted)


def _restore_settings(lab: Lab, client: docker.APIClient) -> None:
    swarm = client.inspect_swarm()
    if swarm["Spec"] != lab.settings:
        client.update_swarm(swarm["Version"]["Index"], swarm_spec=lab.settings)


def _left(lab: Lab, client: docker.APIClient) -> str:
    """Return what is still there, for a developer to read."""
    tasks = [
        f"task {task['ID']} on {task.get('NodeID')}: {task['Status']} -> {task['DesiredState']}"
        for task in client.tasks()
    ]
    nodes = [f"{node['Description']['Hostname']}: {node['Status']}, {node['Spec']}" for node in client.nodes()]
    return "\n".join([*tasks, *nodes, *(f"{engine.name}:\n{engine.cell.tail()}" for engine in lab.engines[:3])])
