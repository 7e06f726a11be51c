"""Writing to a swarm behind swarmctl's back, as whoever speaks to the Engine API could."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import docker

ATTEMPTS_MAX = 50
OUT_OF_SEQUENCE = "update out of sequence"


def put_service(client: docker.APIClient, name: str, spec: dict[str, Any]) -> None:
    """Update a service with exactly `spec`."""

    def write() -> None:
        service = client.inspect_service(name)
        url = client._url("/services/{0}/update", service["ID"])
        client._raise_for_status(client._post_json(url, data=spec, params={"version": service["Version"]["Index"]}))

    _persist(write)


def put_node(client: docker.APIClient, hostname: str, **changes: Any) -> None:
    """Change some fields of a node's spec."""

    def write() -> None:
        node = next(one for one in client.nodes() if one["Description"]["Hostname"] == hostname)
        client.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], **changes})

    _persist(write)


def put_settings(client: docker.APIClient, **changes: Any) -> None:
    """Change some fields of the swarm's spec."""

    def write() -> None:
        swarm = client.inspect_swarm()
        client.update_swarm(swarm["Version"]["Index"], swarm_spec={**swarm["Spec"], **changes})

    _persist(write)


def _persist(write: Callable[[], None]) -> None:
    """Read and write again where the swarm itself moved the object's version in between.

    It does with services (their endpoints, how updates go), nodes (their addresses, their state) and its own keys.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            write()
        except docker.errors.APIError as error:
            if OUT_OF_SEQUENCE not in str(error) or attempt == ATTEMPTS_MAX:
                raise
        else:
            return
