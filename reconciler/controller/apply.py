"""Carries a Plan out: what depends on nothing goes out together, within a limit; then waits for the tasks."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from reconciler.controller.convergence import Waiting
from reconciler.controller.finishing import Finish, Finishing
from reconciler.controller.looks import Looks
from reconciler.controller.nodes import farewell, later_steps
from reconciler.controller.patience import Patience
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import RegistryAuth, no_registry_auth
from reconciler.controller.record import Books, names_to_record, record, topology_to_record
from reconciler.controller.run import INTERRUPT_GRACE_S, Run, left_as_it_is
from reconciler.controller.transactions import left_open, outlived, to_hold_back, to_open
from reconciler.controller.undo import ids_of
from reconciler.controller.write import Writer
from reconciler.model.actual import ActualState
from reconciler.model.discreet import Discreet
from reconciler.model.errors import Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, Plan
from reconciler.model.progress import (
    ActionProgress,
    ActionStatus,
    ApplyResult,
    Report,
)
from reconciler.planning.inventory import recorded
from reconciler.planning.topology_record import recorded_topology

_KEPT = "A stack that did not end well may need it."
_KEPT_LOST = "The endpoint went away before it was known whether a stack needs it."


class ApplyOptions(Discreet, frozen=True):
    """How to carry a plan out."""

    UNSHOWN = frozenset({"registry_auth", "looks"})

    parallel: int = 8
    """How many actions may be under way at once."""
    wait: bool = True
    """Wait until the services have converged, also before stacks that depend on them are touched."""
    timeout_s: float = 300.0
    """Seconds that each service has to converge once it was written: one that others depend on, before those are."""
    registry_auth: RegistryAuth = no_registry_auth
    """The X-Registry-Auth header that goes along with a service, for its nodes to pull its image with."""
    looks: Looks | None = None
    """What applies that are under way together look with; None for one that looks by itself."""
    resumed: tuple[str, ...] = ()
    """Services whose tasks an earlier apply moved that was left: they are awaited as though this one had."""
    interrupt_grace_s: float = INTERRUPT_GRACE_S
    """Seconds for which an interrupted apply lets the writes under way end. 0 for who must act no more at once."""


async def apply(
    plan: Plan, actual: ActualState, cluster: Cluster, options: ApplyOptions, report: Report
) -> ApplyResult:
    """Carry out `plan`, which was made against `actual`, and return how each action ended.

    An action whose predecessor failed is skipped, everything independent of it goes on: a broken stack doesn't hold
    the others, and how its services stand is reported as soon as it is written. A stack of `plan.atomic_stacks` goes
    back to what it was in `actual` as soon as its own services have ended and one of them badly; to what it was before
    an earlier apply, if that was interrupted while it wrote to it.
    Raises nothing but cancellation; what a user must know is in the result.
    """
    patience = Patience()
    looks = options.looks or Looks(cluster, patience, actual)
    try:
        waiting = Waiting(cluster, looks, actual, options.timeout_s, report)
        return await _Apply(plan, actual, waiting, patience, options).result()
    finally:
        if options.looks is None:
            looks.close()


class _Apply:
    """One apply from its first write to its last look."""

    def __init__(
        self, plan: Plan, actual: ActualState, waiting: Waiting, patience: Patience, options: ApplyOptions
    ) -> None:
        self.plan, self.actual, self.waiting, self.patience, self.options = plan, actual, waiting, patience, options
        self.cluster = waiting.cluster
        self.farewell = farewell(plan, actual)
        """What this endpoint does not survive as one: it comes when all else has ended, and has been seen to."""
        self.left_open = left_open(plan, actual)
        """What atomic stacks were before an earlier apply that was interrupted; this one brings that to its end."""
        self.opened = to_open(plan, actual) if options.wait else {}
        first = tuple(one for one in plan.actions if one is not self.farewell)
        self.held_back = to_hold_back(first, self.left_open.values())
        """What a stack needs if it goes back to before that: it is removed once it is known that it does not."""
        self.main = self._run(tuple(one for one in first if one not in self.held_back), actual, wait=options.wait)
        self.finishing = Finishing(plan, waiting, self.main, self._run_back, options.resumed)

    def _run_back(self, actions: tuple[Action, ...], actual: ActualState) -> Run:
        """Return what puts services back: no step of it waits for tasks, which are judged once all is written."""
        return self._run(actions, actual, wait=False)

    def _run(self, actions: tuple[Action, ...], actual: ActualState, *, wait: bool) -> Run:
        writer = Writer(
            self.cluster, self.patience, ids_of(actual), self.options.registry_auth, later_steps(self.plan.actions)
        )
        return Run(
            actions,
            writer,
            self.waiting,
            parallel=self.options.parallel,
            wait=wait,
            interrupt_grace_s=self.options.interrupt_grace_s,
        )

    async def result(self) -> ApplyResult:
        """Do everything, and return how it ended."""
        result = await self._without_farewell()
        if self.farewell is None:
            return result
        last = await self.main.carry_out_last(self.farewell, result.actions)
        return replace(result, actions=(*result.actions, last))

    async def _without_farewell(self) -> ApplyResult:
        opened, recorded_with, names = await self._open(), None, tuple[str, ...]()
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(one) for one in self.finishing.parts()]
            ended = await self.main.carry_out()
            gone = self.patience.gone
            if gone is not None:
                for part in parts:
                    part.cancel()
            else:
                names = self.finishing.close(ended)
                recorded_with = None if self.finishing.atomic else await self._record(ended, Finish())
        finish = Finish.of([part.result() for part in parts if not part.cancelled()], names)
        if gone is not None:
            ended += self._leave(_KEPT_LOST)
            return ApplyResult(self.plan, ended, lost=gone.problems[0], undone=finish.undone)
        if self.finishing.atomic:
            ended += await self._carry_out_held_back(ended, finish)
            recorded_with = await self._record(ended, finish)
        return ApplyResult(
            self.plan,
            ended,
            finish.services,
            finish.timed_out,
            lost=finish.lost,
            undone=finish.undone,
            warnings=tuple(warning for warning in (opened, recorded_with) if warning is not None),
        )

    async def _open(self) -> Problem | None:
        """Write down what atomic stacks are, before anything is written to them."""
        if not self.opened:
            return None
        books = Books(self.plan.owner, undo=self.opened)
        warning = await record(self.cluster, self.patience, books)
        if warning is None:
            # The plan was made against the swarm's settings without this, and must not take it away.
            self.main.sent_as |= {
                one.id: replace(one, spec=books.on(one.spec or {}), read_spec=books.on(one.read_spec or {}))
                for one in self.plan.actions
                if one.kind is Kind.SWARM
            }
        return warning

    async def _carry_out_held_back(
        self, ended: tuple[ActionProgress, ...], finish: Finish
    ) -> tuple[ActionProgress, ...]:
        if finish.undone or not set(self.left_open) <= set(self._over(ended, finish)):
            return self._leave(_KEPT)
        done: list[ActionProgress] = []
        for action in self.held_back:
            earlier = [one for one in (*ended, *done) if one.action.id in action.after]
            done.append(await self.main.carry_out_last(action, earlier))
        return tuple(done)

    def _leave(self, why: str) -> tuple[ActionProgress, ...]:
        """Tell what was held back that it stays, and return that."""
        left = tuple(
            ActionProgress(one, ActionStatus.SKIPPED, left_as_it_is(one, why, "Apply again.")) for one in self.held_back
        )
        for one in left:
            self.waiting.report(one)
        return left

    async def _record(self, ended: tuple[ActionProgress, ...], finish: Finish) -> Problem | None:
        undone = [one for stack in finish.undone for one in stack.actions]
        plan = self.plan
        if undone and plan.owner and plan.inventory is None:
            plan = replace(plan, inventory=recorded(self.actual, plan.owner))  # what is taken back changes it after all
        names = names_to_record(plan, ended, self.main.written, undone)
        over = [*self._over(ended, finish), *outlived(plan, self.actual)]
        topology = topology_to_record(plan, recorded_topology(self.actual, plan.owner), ended)
        read = recorded(self.actual, plan.owner)
        return await record(self.cluster, self.patience, Books(plan.owner, names, topology, dict.fromkeys(over), read))

    def _over(self, ended: tuple[ActionProgress, ...], finish: Finish) -> list[str]:
        """Return the stacks of which no later apply needs to know what they were: they are it, or new and well."""
        if finish.lost is not None:
            return []
        undone = {one.stack: one.actions for one in finish.undone}
        # Without waiting nothing is judged, and neither is what an earlier apply began.
        half = {one.action.stack for one in ended if self.options.wait and one.status is ActionStatus.SKIPPED}
        half -= set(undone)
        half |= {
            stack for stack, actions in undone.items() if any(one.status is ActionStatus.FAILED for one in actions)
        }
        return [stack for stack in {**self.left_open, **self.opened} if stack not in half | finish.over]
