"""Gives addresses out of networks, one after the other. (facts, swarmkit.md section 8)

The next address comes after the last one given, so that one that was given back is not used again soon. An address that
is given back counts as free from the next transaction on.

Those who get one are services, tasks, and each node for balancing: in ingress from the moment it is there, and in each
network that a task of its own is on, after that task has its own. A node for which there is none left does without, and
is looked at again with its next task there. Source: swarmkit manager/allocator/network.go (reallocateNode). Unlike
there, nodes take no more than half of ingress: of 250 nodes, none would be left for a service that publishes a port.
"""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.model.addresses import (
    ALLOCATED_DRIVER,
    AddressRange,
    address_ranges,
    attached_ids,
    has_virtual_ips,
    ingress_network,
    number,
)
from reconciler.model.changes import TableKind
from reconciler.model.tables import NetworkAddress, NetworkRecord, ServiceRecord, TaskRecord
from reconciler.store.draft import Draft


class Pool:
    """What one network has left, as one transaction sees it."""

    __slots__ = ("_free", "_last", "_ranges", "_size", "_taken", "_used", "network")

    def __init__(self, draft: Draft, network: NetworkRecord) -> None:
        self.network = network
        self._ranges = address_ranges(network)
        self._used = draft.addresses_in_use(network.id)
        self._taken: dict[int, None] = {}
        self._last = network.last_address
        self._size = sum(one.size for one in self._ranges)
        self._free = self._size - len(self._used)

    def take(self) -> str | None:
        """Return the next address, None when there is none left."""
        if self._free <= 0:
            return None
        start = next((at for at, one in enumerate(self._ranges) if one.first <= self._last <= one.last), 0)
        first = self._last + 1 if self._last else 0
        for part in (*self._ranges[start:], *self._ranges[: start + 1]):
            found = self._next_in(part, max(first, part.first) if first <= part.last else part.last + 1)
            if found is not None:
                self._taken[found] = None
                self._last, self._free = found, self._free - 1
                return part.text(found)
            first = 0
        return None

    def _next_in(self, part: AddressRange, first: int) -> int | None:
        for address in range(first, part.last + 1):
            if address not in self._used and address not in self._taken and address not in part.reserved:
                return address
        return None

    @property
    def is_half_free(self) -> bool:
        """Whether no more than half of the addresses are given out."""
        return 2 * self._free > self._size

    @property
    def last(self) -> int:
        """The number of the address that was given out last, 0 before the first."""
        return self._last


def _pool(draft: Draft, network_id: str) -> Pool | None:
    """Return the pool of a network that has one."""
    network = draft.networks.get(network_id)
    if network is None or network.spec.get("Driver") != ALLOCATED_DRIVER:
        return None
    pool: Pool | None = draft.pools.get(network_id)
    if pool is None or pool.network.spec is not network.spec:
        pool = draft.pools[network_id] = Pool(draft, network)
    return pool


def _keep_cursors(draft: Draft) -> None:
    for network_id, pool in draft.pools.items():
        network = draft.networks.get(network_id)
        if network is not None and network.last_address != pool.last:
            draft.networks[network_id] = replace(network, last_address=pool.last)


def ingress_id(draft: Draft) -> str:
    """Return the id of the ingress network, "" when there is none."""
    ingress = ingress_network(draft.networks.values())
    return ingress.id if ingress else ""


def virtual_ips(draft: Draft, service: ServiceRecord) -> tuple[NetworkAddress, ...]:
    """Return the addresses of a service's own: those it has already where they are still of use, then new ones.

    A network with none left is passed over; the service's tasks stay new until there is one.
    """
    if not has_virtual_ips(service):
        return ()
    wanted = [one for one in attached_ids(service, ingress_id(draft)) if _pool(draft, one) is not None]
    kept = [(network_id, address) for network_id, address in service.virtual_ips if network_id in wanted]
    present = [network_id for network_id, _ in kept]
    for network_id in wanted:
        if network_id not in present and (pool := _pool(draft, network_id)) and (address := pool.take()):
            kept.append((network_id, address))
    _keep_cursors(draft)
    return tuple(kept)


class Attacher:
    """Gives the tasks of one service their addresses. `close` when done."""

    def __init__(self, draft: Draft, service: ServiceRecord) -> None:
        self._draft = draft
        ids = attached_ids(service, ingress_id(draft))
        self._pools = [(network_id, _pool(draft, network_id)) for network_id in ids]
        needed = [network_id for network_id, pool in self._pools if pool] if has_virtual_ips(service) else []
        present = [network_id for network_id, _ in service.virtual_ips]
        self._is_ready = all(network_id in present for network_id in needed)

    def next(self) -> tuple[NetworkAddress, ...] | None:
        """Return one task's attachments; None when it has to wait, for an address of its own or of its service."""
        if not self._is_ready:
            return None
        if not self._pools:
            return ()
        found: list[NetworkAddress] = []
        for network_id, pool in self._pools:
            if pool is None:
                found.append((network_id, ""))
            elif (address := pool.take()) is not None:
                found.append((network_id, address))
            else:
                self._is_ready = False  # what this task was given elsewhere is free again after this transaction
                return None
        return tuple(found)

    def close(self) -> None:
        """Remember in the networks how far they have given out."""
        _keep_cursors(self._draft)


Place = tuple[str, str]
"""A network's id and a node's."""

ATTACHING = (TableKind.TASK, TableKind.NODE, TableKind.NETWORK)
"""The tables that decide who needs an address: `attach_nodes` has nothing to do where none of them is written."""

Places = dict[Place, None]
"""An ordered set."""


def attach_nodes(draft: Draft) -> None:
    """Give nodes the addresses that they need after this transaction, and take back those that they need no more.

    To be called once all commands are carried out. Costs a look at each task that was written.
    """
    gained, lost = _moved(draft)
    if not gained and not lost:
        return
    held: dict[str, dict[str, None]] = {}
    changed: dict[str, dict[str, int]] = {}
    for network_id, node_id in lost:
        network = draft.networks.get(network_id)
        if network is None or node_id not in network.node_addresses or _needs(draft, held, network, node_id):
            continue
        del changed.setdefault(network_id, dict(network.node_addresses))[node_id]
    for network_id, node_id in gained:
        network = draft.networks.get(network_id)
        present = changed.get(network_id, network.node_addresses) if network is not None else {}
        if network is None or node_id in present or node_id not in draft.nodes:
            continue
        pool = _pool(draft, network_id)
        if pool is None or (network.spec.get("Ingress") and not pool.is_half_free):
            continue
        if (address := pool.take()) is not None:
            changed.setdefault(network_id, dict(present))[node_id] = number(address)
    for network_id, addresses in changed.items():
        if (network := draft.networks.get(network_id)) is not None:
            draft.networks[network_id] = replace(network, node_addresses=addresses)
    _keep_cursors(draft)


def _moved(draft: Draft) -> tuple[Places, Places]:
    """Return where nodes need an address now, and where they may need none any more; both in order."""
    gained: Places = {}
    lost: Places = {}
    nodes, networks, tasks = draft.nodes, draft.networks, draft.tasks
    new_nodes = [node_id for node_id in nodes.written if node_id not in nodes.base]
    if new_nodes:
        ingress = ingress_id(draft)
        gained.update({(ingress, node_id): None for node_id in new_nodes})
    lost.update({(network.id, node_id): None for node_id in nodes.gone for network in networks.values()})
    new = [one.id for one in networks.written.values() if one.spec.get("Ingress") and one.id not in networks.base]
    gained.update({(network_id, node.id): None for network_id in new for node in nodes.values()})
    for task_id, task in tasks.written.items():
        old = tasks.base.get(task_id)
        if task.attachments or (old is not None and old.attachments):
            before, after = _places(old), _places(task)
            gained.update((place, None) for place in after if place not in before)
            lost.update((place, None) for place in before if place not in after)
    for task_id in tasks.gone:
        lost.update(dict.fromkeys(_places(tasks.base[task_id])))
    return gained, lost


def _places(task: TaskRecord | None) -> tuple[Place, ...]:
    """Return where a task makes its node need an address."""
    if task is None or not task.node_id or not task.attachments or task.has_ended:
        return ()
    return tuple((network_id, task.node_id) for network_id, address in task.attachments if address)


def _needs(draft: Draft, held: dict[str, dict[str, None]], network: NetworkRecord, node_id: str) -> bool:
    """Whether a node needs an address in a network. `held` remembers the networks of the tasks of each node."""
    if node_id not in draft.nodes:
        return False
    if network.spec.get("Ingress"):
        return True
    if node_id not in held:
        places = (place for task in draft.tasks_on_node(node_id) for place in _places(task))
        held[node_id] = {network_id: None for network_id, _ in places}
    return network.id in held[node_id]
