"""What the pre-flight warns of is what the real scheduler then leaves undone, and what it passes is placed."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import docker
import pytest

from reconciler.adapters.docker.cluster import connect
from reconciler.controller.ports import Cluster
from reconciler.model.errors import Problem, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.settings import EndpointSettings
from tests.lab.lab import Lab
from tests.lab.swept import sweep
from tests.unit.planning.builders import desired, network_spec, planned, wanted
from tests.unit.planning.seats import CPU, host_port, service

pytestmark = pytest.mark.engine

SETTLE_WAIT_S = 60.0
POLL_S = 0.1
QUIET_S = 2.0
DOWN = ("complete", "failed", "shutdown", "rejected", "orphaned", "remove")


@dataclass
class Swarm:
    """The lab's swarm: the port that plans are made with, and a plain client to look at it."""

    cluster: Cluster
    engine: docker.APIClient

    async def warnings(self, *specs: JsonObject, networks: tuple[JsonObject, ...] = ()) -> list[Problem]:
        """What a plan for these services, and nothing else, is warned of."""
        objects = [wanted(Kind.NETWORK, one) for one in networks] + [wanted(Kind.SERVICE, one) for one in specs]
        return list(planned(desired(*objects), await self.cluster.observe()).unplaceable)

    async def deploy(self, *specs: JsonObject, networks: tuple[JsonObject, ...] = (), allocated: bool = True) -> None:
        """Create these; `allocated` waits until the swarm has given each network its addresses."""
        for network in networks:
            await self.cluster.create(Kind.NETWORK, network)
            if allocated:
                await self.until(partial(self._is_allocated, network["Name"]))
        for spec in specs:
            await self.cluster.create(Kind.SERVICE, spec)

    def _is_allocated(self, network: str) -> bool:
        return bool(self.engine.inspect_network(network)["IPAM"]["Config"])

    async def until(self, reached: Callable[[], Any]) -> None:
        deadline = time.monotonic() + SETTLE_WAIT_S
        while not reached():
            assert time.monotonic() < deadline
            await asyncio.sleep(POLL_S)

    def tasks(self, name: str) -> list[dict[str, Any]]:
        return [task for task in self.engine.tasks(filters={"service": name}) if task["Status"]["State"] not in DOWN]

    async def settled(self, name: str, **states: int) -> list[dict[str, Any]]:
        """Return a service's live tasks once they are in these states, and no others: {"running": 2, "pending": 1}."""
        deadline = time.monotonic() + SETTLE_WAIT_S
        while True:
            tasks = self.tasks(name)
            found = Counter(task["Status"]["State"] for task in tasks)
            explained = all("Err" in task["Status"] for task in tasks if task["Status"]["State"] == "pending")
            if found == Counter({state: count for state, count in states.items() if count}) and explained:
                return tasks
            assert time.monotonic() < deadline, (states, [task["Status"] for task in tasks])
            await asyncio.sleep(POLL_S)

    async def stays(self, name: str, **states: int) -> None:
        """Wait until a service's live tasks are in these states, and see that they are still when all is quiet."""
        await self.settled(name, **states)
        await asyncio.sleep(QUIET_S)
        assert Counter(task["Status"]["State"] for task in self.tasks(name)) == Counter(states)


@pytest.fixture
async def swarm(lab: Lab) -> AsyncIterator[Swarm]:
    cluster = await connect(EndpointSettings(host=lab.manager.host))
    engine = lab.manager.client()
    try:
        yield Swarm(cluster, engine)
    finally:
        await cluster.close()
        sweep(lab)
        engine.close()


def sleeping(name: str, *, replicas: int | None = 3, **fields: Any) -> JsonObject:
    """A service that does nothing, and stops at once."""
    spec = service(name, replicas=replicas, image="swarmctl-test:1", **fields)
    container = {"Command": ["sleep", "1000"], "StopGracePeriod": 0, "Init": False}
    spec["TaskTemplate"]["ContainerSpec"] |= container
    spec["TaskTemplate"]["ContainerSpec"]["Labels"] = {}
    return spec


def mounting(name: str, driver: str) -> JsonObject:
    spec = sleeping(name)
    mount = {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"DriverConfig": {"Name": driver}}}
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"] = [mount]
    return spec


def job(name: str, at_once: int, **fields: Any) -> JsonObject:
    """A job that is done at once, where it finds a node."""
    spec = sleeping(name, **fields)
    spec["TaskTemplate"]["ContainerSpec"]["Command"] = ["true"]
    return {**spec, "Mode": {"ReplicatedJob": {"MaxConcurrent": at_once, "TotalCompletions": at_once}}}


async def test_tasks_warned_of_stay_pending_for_the_same_reason_and_the_others_run(swarm: Swarm):
    """Each service alone in its plan, all in one swarm: each is judged with the ones before it running."""
    cpus = min(node["Description"]["Resources"]["NanoCPUs"] for node in swarm.engine.nodes()) / CPU
    cases: list[tuple[JsonObject, int, int, str]] = [
        (sleeping("fits", replicas=1), 1, 0, ""),
        (sleeping("zone", placement={"Constraints": ["node.labels.zone==a"]}), 0, 3, "scheduling constraints not"),
        (
            sleeping("workers", placement={"Constraints": ["node.role!=manager"], "MaxReplicas": 1}),
            2,
            1,
            "max replicas",
        ),
        (sleeping("arm", placement={"Platforms": [{"OS": "linux", "Architecture": "arm64"}]}), 0, 3, "unsupported pl"),
        (sleeping("amd", replicas=1, placement={"Platforms": [{"OS": "linux", "Architecture": "amd64"}]}), 1, 0, ""),
        (mounting("volume", "nosuchdriver"), 0, 3, "missing plugin on 3 nodes"),
        (sleeping("ported", replicas=4, ports=(host_port(8080),)), 3, 1, "host-mode port already in use on 3 nodes"),
        (sleeping("late", replicas=None, ports=(host_port(8080),)), 0, 3, "host-mode port already in use on 1 node"),
        (sleeping("wide", replicas=4, cpus=cpus * 0.6), 3, 1, "insufficient resources on 3 nodes"),
        (sleeping("rest", replicas=3, cpus=cpus * 0.3), 3, 0, ""),
        (sleeping("more", replicas=None, cpus=cpus * 0.3), 0, 3, "insufficient resources on 1 node"),
        (job("batch", 2, cpus=cpus * 0.3), 0, 2, "insufficient resources on 3 nodes"),
        (sleeping("gpu", generic=1), 0, 3, "insufficient resources on 3 nodes"),
    ]
    for spec, runs, waits, reason in cases:
        warnings = await swarm.warnings(spec)
        assert len(warnings) == bool(waits), (spec["Name"], warnings)
        await swarm.deploy(spec)
        tasks = await swarm.settled(spec["Name"], running=runs, pending=waits)
        pending = [task["Status"]["Err"] for task in tasks if task["Status"]["State"] == "pending"]
        assert all(reason in error for error in pending), (spec["Name"], pending)
        if warnings:
            told = f"{warnings[0].what} {warnings[0].why}".lower()
            assert f"{waits} of {runs + waits}" in told, spec["Name"]
            assert reason.partition(" on ")[0] in told, spec["Name"]
    # What it waited for comes: the job runs. (An engine of 20.10 keeps the waiting tasks of a job that is removed.)
    for name in ("wide", "rest", "more"):
        swarm.engine.remove_service(name)
    await swarm.until(lambda: not swarm.tasks("batch"))


async def test_a_start_first_update_with_a_host_port_never_begins(swarm: Swarm):
    spec = sleeping("edge", ports=(host_port(8081),), UpdateConfig={"Order": "start-first", "Parallelism": 1})
    await swarm.deploy(spec)
    await swarm.settled("edge", running=3)
    after = sleeping("edge", ports=(host_port(8081),), UpdateConfig={"Order": "start-first", "Parallelism": 1})
    after["TaskTemplate"]["ContainerSpec"]["Image"] = "swarmctl-test:2"
    (warning,) = await swarm.warnings(after)
    assert warning.what == "Service edge: its start-first update can't begin."
    (found,) = swarm.engine.services(filters={"name": "edge"})
    await swarm.cluster.update(Kind.SERVICE, found["ID"], found["Version"]["Index"], after)
    tasks = await swarm.settled("edge", running=3, pending=1)
    (pending,) = (task for task in tasks if task["Status"]["State"] == "pending")
    assert "host-mode port already in use on 3 nodes" in pending["Status"]["Err"]


def small(name: str, subnet: str) -> JsonObject:
    return network_spec(name, IPAM={"Driver": "default", "Config": [{"Subnet": subnet}]})


async def test_tasks_without_an_address_stay_new(swarm: Swarm):
    """10.77.0.0/29 leaves 5 addresses: one for the virtual IP, two for nodes, two for tasks."""
    network = small("web_small", "10.77.0.0/29")
    spec = sleeping("some", replicas=2, networks=("web_small",))
    assert await swarm.warnings(spec, networks=(network,)) == []
    await swarm.deploy(spec, networks=(network,))
    await swarm.settled("some", running=2)

    more = sleeping("some", replicas=3, networks=("web_small",))
    (warning,) = await swarm.warnings(more, networks=(network,))
    assert warning.what == "Network web_small has 5 addresses, and the tasks of some make it need 7."
    (found,) = swarm.engine.services(filters={"name": "some"})
    await swarm.cluster.update(Kind.SERVICE, found["ID"], found["Version"]["Index"], more)
    await swarm.settled("some", running=2, new=1)


async def test_a_start_first_update_without_a_free_address_never_begins(swarm: Swarm):
    """As above: two tasks on two nodes take all 5 addresses."""

    def spec(name: str, *environment: str) -> JsonObject:
        one_by_one = {"Order": "start-first", "Parallelism": 1}
        made = sleeping(name, replicas=2, networks=("web_small",), UpdateConfig=one_by_one)
        made["TaskTemplate"]["ContainerSpec"]["Env"] = list(environment)
        return made

    network = small("web_small", "10.79.0.0/29")
    await swarm.deploy(spec("full"), networks=(network,))
    await swarm.settled("full", running=2)
    (warning,) = await swarm.warnings(spec("full", "COLOUR=blue"), networks=(network,))
    assert warning.what == "Service full: its start-first update can't begin."
    (found,) = swarm.engine.services(filters={"name": "full"})
    await swarm.cluster.update(Kind.SERVICE, found["ID"], found["Version"]["Index"], spec("full", "COLOUR=blue"))
    await swarm.stays("full", running=2, new=1)


async def test_a_network_with_a_subnet_that_is_taken_keeps_its_tasks_new(swarm: Swarm):
    await swarm.deploy(networks=(small("other_net", "10.78.0.0/24"),))
    clash = small("web_clash", "10.78.0.0/25")
    spec = sleeping("stuck", networks=("web_clash",))
    (warning,) = await swarm.warnings(spec, networks=(clash,))
    assert "overlaps 10.78.0.0/24 of network other_net" in warning.what
    await swarm.deploy(spec, networks=(clash,), allocated=False)
    await swarm.settled("stuck", new=3)


async def test_a_network_for_which_the_address_pool_has_no_subnet_keeps_its_tasks_new(swarm: Swarm):
    """The pool is 10.0.0.0/8, and ingress has the first /24: 16 subnets, each half of what is left, are all of it."""
    halves = [ipaddress.IPv4Network((10 << 24 | 1 << (32 - bits), bits)) for bits in range(9, 25)]
    await swarm.deploy(networks=tuple(small(f"other_{half.prefixlen}", str(half)) for half in halves[:-1]))
    assert await swarm.warnings(networks=(network_spec("web_pool"),)) == []
    await swarm.deploy(networks=(small("other_24", str(halves[-1])),))
    spec = sleeping("dry", networks=("web_pool",))
    (warning,) = await swarm.warnings(spec, networks=(network_spec("web_pool"),))
    assert warning.what == "Network web_pool: no subnet is left for it."
    await swarm.deploy(spec, networks=(network_spec("web_pool"),), allocated=False)
    await swarm.stays("dry", new=3)
    (warning,) = await swarm.warnings(sleeping("dry", replicas=4, networks=("web_pool",)))
    assert warning.what == "Network web_pool: no subnet is left for it.", "it waits, and stands in the line first"


async def test_a_port_that_is_taken_is_refused(swarm: Swarm):
    await swarm.deploy(sleeping("first", replicas=1, ports=(host_port(8090, "ingress"),)))
    for mode in ("ingress", "host"):
        spec = sleeping("second", replicas=1, ports=(host_port(8090, mode),))
        (warning,) = await swarm.warnings(spec)
        assert "8090/tcp is in use by service first as an ingress port" in warning.why
        with pytest.raises(SwarmctlError) as refused:
            await swarm.cluster.create(Kind.SERVICE, spec)
        assert "port '8090' is already in use by service 'first'" in str(refused.value.problems[0])


async def test_what_still_runs_of_a_removed_job_holds_its_room(swarm: Swarm):
    """An engine of 20.10 never tells it to end; newer ones do, and then there is nothing to warn of."""
    cpus = min(node["Description"]["Resources"]["NanoCPUs"] for node in swarm.engine.nodes()) / CPU
    batch = job("batch", 3, cpus=cpus * 0.6)
    batch["TaskTemplate"]["ContainerSpec"]["Command"] = ["sleep", "30"]
    await swarm.deploy(batch)
    await swarm.settled("batch", running=3)
    swarm.engine.remove_service("batch")
    await asyncio.sleep(QUIET_S)
    spec = sleeping("next", replicas=1, cpus=cpus * 0.6)
    warnings = await swarm.warnings(spec)
    await swarm.deploy(spec)
    await swarm.settled("next", running=not warnings, pending=len(warnings))
