"""How many calls a Docker Swarm gets: as many for a hundred services as for one, and none that writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.adapters.docker.cluster import connect
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.settings import EndpointSettings
from tests.contract.subject import Subject, service
from tests.e2e.program import Program
from tests.lab.lab import Lab
from tests.lab.meter import Meter
from tests.lab.swept import sweep

pytestmark = pytest.mark.engine

CALLS_MAX = 10
CALLS_AGAIN = 3
LOOKS_MAX = 200
"""Within so many looks the tasks of a service have left the state `new`."""

SERVICES = 15
STACK = "services:\n" + "".join(
    f"  s{number}: {{image: 'swarmctl-test:1', deploy: {{replicas: 0}}}}\n" for number in range(SERVICES)
)


@pytest.fixture
async def meter(lab: Lab, tmp_path: Path) -> AsyncIterator[Meter]:
    with Meter(str(tmp_path / "meter.sock"), str(lab.manager.socket)) as opened:
        yield opened
    sweep(lab)


async def observed(meter: Meter, *specs: JsonObject) -> list[tuple[str, str]]:
    """Create services, look at the cluster once, and return the calls of connecting and looking."""
    cluster = await connect(EndpointSettings(host=meter.host))
    try:
        await asyncio.gather(*(cluster.create(Kind.SERVICE, spec) for spec in specs))
    finally:
        await cluster.close()
    meter.calls.clear()
    cluster = await connect(EndpointSettings(host=meter.host))
    try:
        names = {found.name for found in (await cluster.observe()).services}
        assert names >= {spec["Name"] for spec in specs}
    finally:
        await cluster.close()
    return [(call.method, call.path) for call in meter.calls]


async def test_a_look_takes_as_many_calls_whatever_the_number_of_services(meter: Meter) -> None:
    few = await observed(meter, service("port_first", replicas=0))
    many = await observed(meter, *(service(f"port_s{number}", replicas=0) for number in range(SERVICES)))
    assert sorted(few) == sorted(many)
    assert len(many) < CALLS_MAX
    assert {method for method, _ in many} == {"GET"}


async def test_looking_again_takes_three_calls_and_at_tasks_alone_one(meter: Meter) -> None:
    """More only where a service is not what it was created as, until its tasks have left the state `new`."""

    async def look_again() -> list[str]:
        for _ in range(LOOKS_MAX):
            meter.calls.clear()
            await cluster.observe(state)
            if len(meter.calls) == CALLS_AGAIN:
                break
        return sorted(call.path.rpartition("/")[2] for call in meter.calls)

    cluster = await connect(EndpointSettings(host=meter.host))
    try:
        created = [cluster.create(Kind.SERVICE, service(f"port_s{number}")) for number in range(3)]
        first, *_ = await asyncio.gather(*created)
        state = await cluster.observe()
        assert await look_again() == ["nodes", "services", "tasks"]
        meter.calls.clear()
        state = await cluster.observe_tasks(state)
        assert [call.path.rpartition("/")[2] for call in meter.calls] == ["tasks"]
        assert {found.name for found in state.services} >= {f"port_s{number}" for number in range(3)}
        await Subject("docker", cluster, dict).update(Kind.SERVICE, first, Labels={"new": "label"})
        assert await look_again() == ["nodes", "services", "tasks"]
    finally:
        await cluster.close()


async def test_one_more_call_tells_the_name_of_a_predefined_network(meter: Meter) -> None:
    spec = service("port_host", replicas=0, Networks=[{"Target": "host"}])
    assert len(await observed(meter, spec)) == CALLS_MAX


async def test_an_apply_that_changes_nothing_writes_nothing(meter: Meter, tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text(STACK)
    program = Program(tmp_path, {"DOCKER_HOST": meter.host})
    await asyncio.to_thread(program.ok, "apply", "many.yaml", "--yes", "--resolve-image", "never")
    meter.calls.clear()
    await asyncio.to_thread(program.ok, "apply", "many.yaml", "--yes")
    assert meter.writes() == []
    assert len(meter.calls) <= CALLS_MAX
