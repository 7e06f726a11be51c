"""Writing to a service behind swarmctl's back, as whoever speaks to the Engine API could."""

from __future__ import annotations

from typing import Any

import docker

ATTEMPTS_MAX = 50
OUT_OF_SEQUENCE = "update out of sequence"


def put_service(client: docker.APIClient, name: str, spec: dict[str, Any]) -> None:
    """Update a service with exactly `spec`; again where the swarm itself moved its version in between."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        service = client.inspect_service(name)
        url = client._url("/services/{0}/update", service["ID"])
        answer = client._post_json(url, data=spec, params={"version": service["Version"]["Index"]})
        if answer.ok or OUT_OF_SEQUENCE not in answer.text or attempt == ATTEMPTS_MAX:
            client._raise_for_status(answer)
            return
