"""Carries a Plan out: what depends on nothing goes out together, within a limit; then waits for the tasks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from reconciler.controller.assess import assess
from reconciler.controller.convergence import await_convergence
from reconciler.controller.nodes import await_empty, await_node
from reconciler.controller.ports import Cluster
from reconciler.controller.write import Ids, carry_out
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan, TaskEffect
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult, Report, Verdict


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How to carry a plan out."""

    parallel: int = 8
    """How many actions may be under way at once."""
    wait: bool = True
    """Wait until the services have converged, also before stacks that depend on them are touched."""
    timeout_s: float = 300.0
    """Seconds to wait for convergence, from the first wait on."""


async def apply(
    plan: Plan, actual: ActualState, cluster: Cluster, options: ApplyOptions, report: Report
) -> ApplyResult:
    """Carry out `plan`, which was made against `actual`, and return how each action ended.

    An action whose predecessor failed is skipped, everything independent of it goes on: a broken stack doesn't hold
    the others. Raises nothing but cancellation; what a user must know is in the result.
    """
    run = _Run(plan, actual, cluster, options, report)
    async with asyncio.TaskGroup() as group:
        for action in plan.actions:
            run.tasks[action.id] = group.create_task(run.perform(action))
    results = tuple(run.tasks[action.id].result() for action in plan.actions)
    if not options.wait:
        return ApplyResult(plan, results)
    awaited = services_to_await(plan, actual, results)
    updated = frozenset(one.action.name for one in results if starts_tasks(one.action))
    try:
        outcome = await await_convergence(cluster, awaited, options.timeout_s, report, updated)
    except SwarmctlError as error:
        return ApplyResult(plan, results, lost=error.problems[0])
    return ApplyResult(plan, results, outcome.assessments, outcome.timed_out)


class _Run:
    """One apply under way: which actions there are, and the ids of what exists by now."""

    def __init__(
        self, plan: Plan, actual: ActualState, cluster: Cluster, options: ApplyOptions, report: Report
    ) -> None:
        self.cluster, self.options, self.report = cluster, options, report
        self.tasks: dict[str, asyncio.Task[ActionProgress]] = {}
        self.slots = asyncio.Semaphore(options.parallel)
        self.needed = {name for action in plan.actions for name in action.after}
        self.ids: Ids = {
            (kind, found.name): found.id for kind in (Kind.SECRET, Kind.CONFIG) for found in actual.of_kind(kind)
        }

    async def perform(self, action: Action) -> ActionProgress:
        """Return how the action ended, once all that must come before it has."""
        earlier = [await self.tasks[name] for name in action.after]
        broken = next((one for one in earlier if one.status is not ActionStatus.DONE), None)
        if broken is not None:
            return self._end(action, ActionStatus.SKIPPED, _skipped_because(action, broken))
        if left := await await_empty(self.cluster, action, self.options.timeout_s):
            return self._end(action, ActionStatus.FAILED, left)
        async with self.slots:
            self.report(ActionProgress(action, ActionStatus.RUNNING))
            try:
                await carry_out(action, self.cluster, self.ids)
            except SwarmctlError as error:
                return self._end(action, ActionStatus.FAILED, error.problems[0])
        return self._end(action, *await self._settled(action))

    async def _settled(self, action: Action) -> tuple[ActionStatus, Problem | None]:
        """Wait for a node's new role; and for a service's tasks where another action depends on them."""
        if action.kind is Kind.NODE:
            # A later step on roles counts on this one having ended, whether the user wants to wait or not.
            waits = self.options.wait or action.id in self.needed
            problem = await await_node(self.cluster, action, self.options.timeout_s) if waits else None
            return (ActionStatus.FAILED, problem) if problem else (ActionStatus.DONE, None)
        if not (self.options.wait and action.id in self.needed and starts_tasks(action)):
            return ActionStatus.DONE, None
        try:
            outcome = await await_convergence(
                self.cluster, (action.name,), self.options.timeout_s, self.report, frozenset((action.name,))
            )
        except SwarmctlError as error:
            return ActionStatus.FAILED, error.problems[0]
        if outcome.converged:
            return ActionStatus.DONE, None
        last = outcome.assessments[0]
        return ActionStatus.FAILED, Problem(
            ErrorCode.NOT_CONVERGED,
            f"Service {action.name} has {last.running} of {last.wanted} tasks running, and others depend on it.",
            why=last.message or ("it timed out" if outcome.timed_out else last.verdict.value),
            hint=f"Look at `docker service ps {action.name}`, mend the stack and apply again.",
            place=action.place,
        )

    def _end(self, action: Action, status: ActionStatus, problem: Problem | None) -> ActionProgress:
        progress = ActionProgress(action, status, problem)
        self.report(progress)
        return progress


def starts_tasks(action: Action) -> bool:
    """Return whether the action leaves a service whose tasks change."""
    return action.kind is Kind.SERVICE and action.type is not ActionType.DELETE and action.effect is not TaskEffect.NONE


def services_to_await(plan: Plan, actual: ActualState, results: tuple[ActionProgress, ...]) -> tuple[str, ...]:
    """Return the names of services whose tasks the plan's finished actions move.

    A plan without actions awaits what an earlier apply left unfinished: equal specs alone are no convergence.
    """
    if not plan.actions:
        waiting = (Verdict.PROGRESSING, Verdict.PAUSED)
        return tuple(
            service.name
            for service in actual.services
            if service.name in plan.services and assess(service, actual).verdict in waiting
        )
    done = [one.action for one in results if one.status is ActionStatus.DONE]
    names = [action.name for action in done if starts_tasks(action)]
    if any(action.kind is Kind.NODE and action.effect is TaskEffect.MOVE for action in done):
        removed = {action.name for action in plan.actions if action.type is ActionType.DELETE}
        names += [service.name for service in actual.services if service.name not in removed]
    return tuple(dict.fromkeys(names))


def _skipped_because(action: Action, broken: ActionProgress) -> Problem:
    return Problem(
        ErrorCode.APPLY_FAILED,
        f"{action.kind.capitalize()} {action.name} was left as it is.",
        why=f"{broken.action.id}, which must come before, {broken.status.value}.",
        hint="Mend that one and apply again.",
        place=action.place,
    )
