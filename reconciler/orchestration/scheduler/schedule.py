"""The scheduler: gives each pending task the best node that may have it, or says why there is none."""

from __future__ import annotations

from collections import Counter

from reconciler.model.tables import Tables, TaskRecord
from reconciler.model.tasks import TaskState
from reconciler.orchestration.scheduler.choosing import Chooser, Fits, Heap, Path, tree, weights
from reconciler.orchestration.scheduler.demand import Demand, Fixed, branch_reader
from reconciler.orchestration.scheduler.filters import Filter, explain, failing_filter, has_room, passes_fixed
from reconciler.orchestration.scheduler.load import Loads, NodeLoad, TemplateKey
from reconciler.orchestration.turn import Turn, in_order

ASSIGNED = "scheduler assigned task to node"
CONFIRMED = "scheduler confirmed task can run on preassigned node"


class Scheduler:
    """Knows the pending tasks and the nodes' loads from change to change; `decide` looks at nothing else."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.loads = Loads(tables)
        self._pending: dict[str, None] = {}
        self._assumed: list[str] = []
        self._candidates: dict[Fixed, list[NodeLoad]] = {}
        self._leaves: dict[tuple[Fixed, tuple[str, ...]], dict[Path, list[NodeLoad]]] = {}
        self._paths: dict[tuple[str, ...], dict[str, Path]] = {}
        self._stirred = True

    def put_node(self, node_id: str) -> None:
        """Take over how a node is now, or that it has gone."""
        self.loads.put_node(node_id)
        self._candidates.clear()
        self._leaves.clear()
        self._paths.clear()
        self._stirred = True

    def put_task(self, task_id: str, before: TaskRecord | None, task: TaskRecord | None) -> None:
        """Take over how a task is now (None: it has gone)."""
        if task is None:
            self.loads.drop_task(task_id)
            self._stirred = True
            self._pending.pop(task_id, None)
            return
        self.loads.put_task(task)
        if before is None or task.state is not before.state:
            self.loads.note_failure(task)
        if task.state is TaskState.PENDING and task.is_live:
            self._pending[task_id] = None
            self._stirred = True
            return
        self._pending.pop(task_id, None)
        # A node may have room again.
        self._stirred = self._stirred or task.has_ended or not task.is_live

    def schedule(self, turn: Turn) -> None:
        """Place the pending tasks, those bound to a node first. Nothing is looked at twice in the same state."""
        self._forget_assumed()
        if not self._pending or not self._stirred:
            return
        decided = turn.size
        tasks = self._tables.tasks
        groups: dict[TemplateKey, list[TaskRecord]] = {}
        for task in in_order([tasks[task_id] for task_id in self._pending]):
            if task.node_id:
                self._confirm(turn, task)
            else:
                groups.setdefault((task.service_id, task.spec_version), []).append(task)
        for group in groups.values():
            self._place(turn, group)
        # What was told to be done is looked at again, in case that it is not.
        self._stirred = turn.size > decided

    def _forget_assumed(self) -> None:
        """Undo what was assumed for assignments that have not come true."""
        for task_id in self._assumed:
            task = self._tables.tasks.get(task_id)
            if task is None:
                self.loads.drop_task(task_id)
            else:
                self.loads.put_task(task)
        self._assumed = []

    def _here(self, service_id: str, load: NodeLoad) -> int:
        return self.loads.active_by_service.get(service_id, {}).get(load.id, 0)

    def _confirm(self, turn: Turn, task: TaskRecord) -> None:
        load = self.loads.by_node.get(task.node_id)
        if load is None:
            return
        demand = self.loads.demand(task)
        failing = failing_filter(demand, load, self._here(task.service_id, load))
        if failing is None:
            self._assign(turn, task, load, demand, CONFIRMED)
        else:
            turn.explain(task, failing.explain(1))

    def _place(self, turn: Turn, group: list[TaskRecord]) -> None:
        """Place tasks of one template; those that find no node are told why."""
        demand = self.loads.demand(group[0])
        chooser = self._chooser(turn, demand, group[0])
        for position, task in enumerate(group):
            load = chooser.next()
            if load is None:
                reasons = self._reasons(demand, task.service_id)
                err = f"no suitable node ({reasons})" if reasons else "no suitable node"
                for waiting in group[position:]:
                    turn.explain(waiting, err)
                return
            self._assign(turn, task, load, demand, ASSIGNED)

    def _assign(self, turn: Turn, task: TaskRecord, load: NodeLoad, demand: Demand, message: str) -> None:
        resources = load.choose(demand) if demand.generic else ()
        self.loads.assume(task, load, demand, resources)
        self._assumed.append(task.id)
        turn.assign(task.id, load.id, message, resources)

    def _reasons(self, demand: Demand, service_id: str) -> str:
        failures: Counter[Filter] = Counter()
        for load in self.loads.by_node.values():
            failing = failing_filter(demand, load, self._here(service_id, load))
            if failing is not None:
                failures[failing] += 1
        return explain(failures)

    # --- the nodes to choose from

    def _chooser(self, turn: Turn, demand: Demand, task: TaskRecord) -> Chooser:
        service_id = task.service_id
        here = self.loads.active_by_service.get(service_id, {})
        behind = weights(self.loads.recent_failures((service_id, task.spec_version), turn.now), here)
        fits: Fits | None = None
        if not demand.is_unlimited:

            def fits(load: NodeLoad) -> bool:
                return has_room(demand, load, self._here(service_id, load))

        if not demand.spread:
            return Heap(self._candidates_for(demand), behind, fits)
        leaves = {path: Heap(loads, behind, fits) for path, loads in self._leaves_for(demand).items()}
        counts: Counter[Path] = Counter()
        paths = self._paths_for(demand.spread)
        for node_id, tasks in here.items():
            for level in range(1, len(demand.spread) + 1):
                counts[paths[node_id][:level]] += tasks
        return tree(leaves, counts)

    def _candidates_for(self, demand: Demand) -> list[NodeLoad]:
        found = self._candidates.get(demand.fixed)
        if found is None:
            found = [load for load in self.loads.by_node.values() if passes_fixed(demand, load)]
            self._candidates[demand.fixed] = found
        return found

    def _leaves_for(self, demand: Demand) -> dict[Path, list[NodeLoad]]:
        key = (demand.fixed, demand.spread)
        found = self._leaves.get(key)
        if found is None:
            found = self._leaves[key] = {}
            paths = self._paths_for(demand.spread)
            for load in self._candidates_for(demand):
                found.setdefault(paths[load.id], []).append(load)
        return found

    def _paths_for(self, spread: tuple[str, ...]) -> dict[str, Path]:
        found = self._paths.get(spread)
        if found is None:
            readers = [branch_reader(descriptor) for descriptor in spread]
            nodes = (load.node for load in self.loads.by_node.values())
            found = self._paths[spread] = {node.id: tuple(read(node) for read in readers) for node in nodes}
        return found
