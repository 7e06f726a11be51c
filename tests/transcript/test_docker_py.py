"""docker-py, unmodified, from no swarm through a service's life and out again."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError
from docker.types import ContainerSpec, IPAMConfig, IPAMPool, TaskTemplate

from tests.transcript.stand_in import a_world

FREE_PORT = "0.0.0.0:12345"


def a_story(client: docker.APIClient) -> None:
    with pytest.raises(APIError) as outside:
        client.inspect_swarm()
    assert outside.value.status_code == 503
    client.init_swarm("127.0.0.1", listen_addr=FREE_PORT)
    swarm = client.inspect_swarm()
    assert (swarm["DefaultAddrPool"], swarm["SubnetSize"], swarm["DataPathPort"]) == (["10.0.0.0/8"], 24, 4789)
    assert swarm["JoinTokens"].keys() == {"Worker", "Manager"}
    with pytest.raises(APIError) as twice:
        client.init_swarm("127.0.0.1", listen_addr=FREE_PORT)
    assert twice.value.status_code == 503
    _networks(client)
    _services(client)
    _events(client)
    with pytest.raises(APIError) as kept:
        client.leave_swarm()
    assert kept.value.status_code == 503
    client.leave_swarm(force=True)
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert client.ping()


def _networks(client: docker.APIClient) -> None:
    pool = IPAMPool(subnet="172.28.0.0/16", gateway="172.28.5.254")
    made = client.create_network("own", ipam=IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    assert client.inspect_network(made["Id"])["IPAM"]["Config"][0]["Gateway"] == "172.28.5.254"
    assert [one["Name"] for one in client.networks(filters={"label": "a=b"})] == ["own"]
    wide = client.create_network("wide", driver="overlay", scope="swarm", attachable=True)
    assert client.inspect_network("wide", scope="swarm")["Id"] == wide["Id"]
    assert set(client.prune_networks()["NetworksDeleted"]) == {"own", "wide"}


def _services(client: docker.APIClient) -> None:
    def running(image: str) -> TaskTemplate:
        return TaskTemplate(ContainerSpec(image, ["sleep", "1000"], env={"A": "1"}))

    service = client.create_service(running("busybox"), name="web")["ID"]
    assert client.create_service(running("busybox"))["ID"] != service, "one without a name gets one"
    found = client.inspect_service("web", insert_defaults=True)
    assert found["Spec"]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 10_000_000_000
    version = found["Version"]["Index"]
    client.update_service("web", version, running("alpine"), name="web", fetch_current_spec=True)
    with pytest.raises(APIError) as stale:
        client.update_service("web", version, running("alpine"), name="web")
    assert "update out of sequence" in stale.value.explanation
    assert [one["Name"] for one in (one["Spec"] for one in client.services(filters={"name": "web"}))] == ["web"]
    assert client.remove_service(service)


def _events(client: docker.APIClient) -> None:
    events: Any = client.events(decode=True)
    threading.Timer(0.2, lambda: client.create_secret("told", b"1")).start()
    assert next(event for event in events if event["Type"] == "secret")["Actor"]["Attributes"] == {"name": "told"}
    events.close()


async def test_docker_py_drives_a_node() -> None:
    with tempfile.TemporaryDirectory(prefix="py-") as folder:
        async with a_world(Path(folder), machines=1) as world:
            client = docker.APIClient(base_url=world.machines[0].host, version="1.44", timeout=30)
            try:
                await asyncio.to_thread(a_story, client)
            finally:
                client.close()
