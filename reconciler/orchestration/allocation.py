"""Tasks that wait for an address, and when there is one for them."""

from __future__ import annotations

from reconciler.model.addresses import attached_ids, free_addresses, has_virtual_ips, ingress_network
from reconciler.model.commands import AllocateTasks
from reconciler.model.tables import ServiceRecord, Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.turn import BATCH_MAX, Turn, in_order


class Allocation:
    """Remembers the tasks that are still new. The store gives a task its addresses when it is created; only where a
    network had none left there is anything to do."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._waiting: dict[str, None] = {}
        self._stirred = True

    def put_task(self, task_id: str, task: TaskRecord | None) -> None:
        """Take over how a task is now (None: it has gone)."""
        if task is not None and task.state is TaskState.NEW and task.is_live:
            self._waiting[task_id] = None
            self._stirred = True
            return
        self._waiting.pop(task_id, None)
        if task is None or not task.holds_addresses:
            self._stirred = True

    def stir(self) -> None:
        """Look again: a service or a network has changed."""
        self._stirred = True

    def allocate(self, turn: Turn) -> None:
        """Ask for the addresses of as many tasks as there are any for now, the oldest first."""
        if not self._waiting or not self._stirred:
            return
        purse = _Purse(self._tables)
        tasks = in_order([self._tables.tasks[task_id] for task_id in self._waiting])
        ids = [task.id for task in tasks if purse.pays(task)]
        for first in range(0, len(ids), BATCH_MAX):
            turn.emit(AllocateTasks(at=turn.now, task_ids=tuple(ids[first : first + BATCH_MAX])))
        self._stirred = bool(ids)


class _Purse:
    """The free addresses of all networks, as long as they last."""

    def __init__(self, tables: Tables) -> None:
        ingress = ingress_network(tables.networks.values())
        self._tables = tables
        self._ingress_id = ingress.id if ingress else ""
        self._left: dict[str, int | None] = {}
        self._paid: dict[str, None] = {}

    def pays(self, task: TaskRecord) -> bool:
        """Take what a task needs, and its service where that still needs any; False where that is not there."""
        service = self._tables.services.get(task.service_id)
        if service is None or task.spec_version != service.spec_version:
            return False
        needs: dict[str, int] = {}
        for network_id in attached_ids(service, self._ingress_id):
            left = self._free(network_id)
            if left is None:
                continue
            needs[network_id] = 1 + self._owed(service, network_id)
            if left < needs[network_id]:
                return False
        for network_id, count in needs.items():
            self._left[network_id] = (self._free(network_id) or 0) - count
        self._paid[service.id] = None
        return True

    def _owed(self, service: ServiceRecord, network_id: str) -> int:
        if service.id in self._paid or not has_virtual_ips(service):
            return 0
        return 0 if any(network_id == has for has, _ in service.virtual_ips) else 1

    def _free(self, network_id: str) -> int | None:
        if network_id not in self._left:
            network = self._tables.networks.get(network_id)
            self._left[network_id] = free_addresses(self._tables.indexes, network) if network else None
        return self._left[network_id]
