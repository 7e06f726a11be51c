"""Whatever happens to services, networks and nodes: no address belongs to two, and nodes have those they need."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.addresses import address_ranges, number
from reconciler.model.commands import CreateNetwork, RemoveNetwork, RemoveService
from reconciler.model.json import JsonObject
from reconciler.model.tables import NetworkRecord
from reconciler.store.indexes import indexes_of
from tests.fakes.virtual_swarm import START, VirtualSwarm, service_spec

STEPS = 30
NAMES = ("one", "two", "three")
_UNHURRIED = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def holders(swarm: VirtualSwarm, network: NetworkRecord) -> Counter[int]:
    """Return how many hold each address of a network: services, tasks and nodes."""
    found: Counter[int] = Counter(network.node_addresses.values())
    for service in swarm.tables.services.values():
        found.update(number(address) for network_id, address in service.virtual_ips if network_id == network.id)
    for task in swarm.tables.tasks.values():
        if task.holds_addresses:
            found.update(number(address) for network_id, address in task.attachments if network_id == network.id)
    return found


def check(swarm: VirtualSwarm) -> None:
    assert swarm.tables.indexes == indexes_of(swarm.tables)
    for network in swarm.tables.networks.values():
        held, ranges = holders(swarm, network), address_ranges(network)
        assert max(held.values(), default=0) <= 1
        assert all(any(one.first <= at <= one.last and at not in one.reserved for one in ranges) for at in held)
        needed = set(swarm.tables.nodes) if network.spec.get("Ingress") else nodes_with_tasks_on(swarm, network.id)
        given_out = set(network.node_addresses)
        assert given_out <= needed
        if sum(one.size for one in ranges) > 200:  # in a small one nodes may have to do without
            assert given_out == needed


def nodes_with_tasks_on(swarm: VirtualSwarm, network_id: str) -> set[str]:
    tasks = swarm.tables.tasks.values()
    on_it = [task for task in tasks if not task.has_ended and network_id in dict(task.attachments)]
    return {task.node_id for task in on_it} & set(swarm.tables.nodes)


class Meddler:
    """Does one thing after the other to a swarm, by chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.swarm = VirtualSwarm(nodes=2, check=check)
        self.added = 0

    def step(self) -> None:
        self.chance.choice([self.network, self.service, self.service, self.exit, self.node, self.removal, self.time])()

    def network(self) -> None:
        self.added += 1
        pool: JsonObject = {"IPAM": {"Config": [{"Subnet": f"10.77.{self.added}.0/29"}]}} if self.added % 3 == 0 else {}
        spec = {"Name": f"net{self.added}", "Driver": "overlay", **pool}
        self.swarm.do(CreateNetwork(at=START, id=f"n{self.added}", spec=spec))

    def service(self) -> None:
        swarm, name = self.swarm, self.chance.choice(NAMES)
        known = [one.id for one in swarm.tables.networks.values() if one.spec["Driver"] == "overlay" and one.id != "i"]
        networks = self.chance.sample(known, self.chance.randint(0, min(2, len(known))))
        ports = [{"TargetPort": 80, "PublishMode": "ingress"}] if self.chance.random() < 0.4 else []
        present = next((one for one in swarm.tables.services.values() if one.name == name), None)
        spec = service_spec(
            name,
            replicas=None if name == "three" else self.chance.randint(0, 5),
            task={"Networks": [{"Target": one} for one in networks], "RestartPolicy": {"Delay": 0}},
            EndpointSpec={"Ports": ports},
        )
        if present is None:
            swarm.create(spec)
        else:
            swarm.update(present.id, spec)

    def exit(self) -> None:
        if running := self.swarm.running():
            self.swarm.exit(self.chance.choice(running), self.chance.randint(0, 1))

    def node(self) -> None:
        swarm, names = self.swarm, [name for name in self.swarm.tables.nodes if name != "node1"]
        if not names or self.chance.random() < 0.4:
            self.added += 1
            swarm.add_node(f"more{self.added}")
        elif self.chance.random() < 0.5:
            swarm.remove_node(self.chance.choice(names))
        else:
            swarm.set_node(self.chance.choice(names), Availability=self.chance.choice(["active", "drain"]))

    def removal(self) -> None:
        swarm = self.swarm
        if self.chance.random() < 0.5 and swarm.tables.services:
            swarm.do(RemoveService(at=START, id=self.chance.choice(list(swarm.tables.services))))
        else:
            network = self.chance.choice([*(one for one in swarm.tables.networks if one[0] == "n"), "none"])
            swarm.try_(RemoveNetwork(at=START, id=network))  # refused while it is in use

    def time(self) -> None:
        self.swarm.advance(self.chance.choice([0, 1, 30]))


@_UNHURRIED
@given(st.integers(0, 2**32))
def test_no_address_belongs_to_two_and_nodes_have_those_they_need(seed: int) -> None:
    meddler = Meddler(Random(seed))
    for _ in range(STEPS):
        meddler.step()
    meddler.swarm.advance(60)
    check(meddler.swarm)
