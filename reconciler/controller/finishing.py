"""Sees an apply's stacks to their end, each from when it is written: waits for its tasks, puts back what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable

import msgspec

from reconciler.controller.assess import apart, assess
from reconciler.controller.convergence import Outcome, Wait, Waiting, await_convergence
from reconciler.controller.crashes import assessed_one
from reconciler.controller.readiness import AS_IT_SHOULD_BE
from reconciler.controller.record import Books, record
from reconciler.controller.run import Run
from reconciler.controller.transactions import left_open
from reconciler.controller.undo import failure_of, undo
from reconciler.model.actual import ActualState
from reconciler.model.errors import Problem, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan, TaskEffect
from reconciler.model.progress import ActionProgress, ActionStatus, Assessment, UndoneStack, Verdict

BeginRun = Callable[[tuple[Action, ...], ActualState], Run]
"""Returns what carries actions out that were decided on by a look."""


class Finish(msgspec.Struct, frozen=True):
    """How the services of one or more stacks ended. `over` are stacks of which it is written down that they are."""

    services: tuple[Assessment, ...] = ()
    timed_out: bool = False
    undone: tuple[UndoneStack, ...] = ()
    lost: Problem | None = None
    over: frozenset[str] = frozenset()

    @classmethod
    def of(cls, parts: Iterable[Finish], names: Iterable[str]) -> Finish:
        """Return them as one, the services in the order of `names`."""
        ones = tuple(parts)
        looks = {look.service: look for part in ones for look in part.services}
        return cls(
            tuple(looks[name] for name in names if name in looks),
            any(part.timed_out for part in ones),
            tuple(undone for part in ones for undone in part.undone),
            next((part.lost for part in ones if part.lost is not None), None),
            frozenset().union(*(part.over for part in ones)),
        )


class Finishing:
    """What becomes of all that one apply writes: begun before its first write, told of each, and closed after the last.

    An atomic stack is judged by itself, once its own writes have ended; all other services by one wait, since one may
    fail only for as long as it lacks another. Whatever takes long elsewhere, a node's new role for one, or a stack
    that others depend on, holds up neither.
    """

    def __init__(self, plan: Plan, waiting: Waiting, main: Run, begin_run: BeginRun, resumed: tuple[str, ...]) -> None:
        assert waiting.before is not None
        self.plan, self.actual, self.waiting = plan, waiting.before, waiting
        self.main, self.begin_run, self.wait, self.resumed = main, begin_run, main.wait, resumed
        self.left_open = left_open(plan, self.actual)
        touched = {one.stack for one in main.actions}
        self.atomic = tuple(name for name in plan.atomic_stacks if name in touched or name in self.left_open)
        self._stacks = {action.name: action.stack for action in plan.actions if action.kind is Kind.SERVICE}
        self._stacks |= self._begun_earlier() if self.wait else {}
        self._steps: dict[str, list[Action]] = {}
        for one in main.actions:
            if one.kind is Kind.SERVICE:
                self._steps.setdefault(one.name, []).append(one)
        self._ended: dict[str, ActionProgress] = {}
        self._others = Wait(waiting)
        self._unwritten = {name: {one.id for one in main.actions if one.stack == name} for name in self.atomic}
        self._written = {name: asyncio.Event() for name in self.atomic}
        for name in self.atomic:
            self._note_written(name)
        main.ended = self.note

    def parts(self) -> list[Coroutine[None, None, Finish]]:
        """Return what is to be done at once: it ends when `close` was called and what is awaited has ended."""
        return [*(self._atomic(name) for name in self.atomic), self._rest()]

    def note(self, one: ActionProgress) -> None:
        """Take how an action ended. Its service is awaited from now on, unless another step on it is to come."""
        action = one.action
        self._ended[action.id] = one
        if action.stack in self._unwritten:
            self._unwritten[action.stack].discard(action.id)
            self._note_written(action.stack)
        elif self.wait and action.kind is Kind.SERVICE:
            steps = self._steps[action.name]
            ended = [self._ended.get(each.id) for each in steps]
            done = all(each is not None and each.status is ActionStatus.DONE for each in ended)
            if done and any(each.starts_tasks for each in steps):
                self._others.join((action.name,), (action.name,))

    def close(self, ended: tuple[ActionProgress, ...]) -> tuple[str, ...]:
        """Note that all was written, or will never be, and return the names of all services that are awaited."""
        names = services_to_await(self.plan, self.actual, ended) if self.wait else ()
        names = tuple(dict.fromkeys((*names, *self.resumed, *(self._begun_earlier() if self.wait else ()))))
        in_atomic = {name for stack in self.atomic for name in self._names_of(stack)}
        self._others.join([name for name in names if name not in in_atomic], self._updated())
        self._others.close()
        return names

    def _note_written(self, stack: str) -> None:
        if not self._unwritten[stack]:
            self._written[stack].set()

    def _updated(self) -> frozenset[str]:
        return frozenset((*(one.action.name for one in self._ended.values() if one.action.starts_tasks), *self.resumed))

    def _begun_earlier(self) -> dict[str, str]:
        """Return {service: its stack} of what an interrupted apply had written, but for what swarm has put back."""
        removed = {one.name for one in self.plan.actions if one.type is ActionType.DELETE}
        return {
            service.name: stack
            for stack, before in self.left_open.items()
            for service in self.actual.services
            if service.name in before
            and service.name not in removed
            and assess(service, self.actual).verdict is not Verdict.ROLLED_BACK
        }

    def _of(self, stack: str) -> tuple[ActionProgress, ...]:
        return tuple(self._ended[one.id] for one in self.main.actions if one.stack == stack and one.id in self._ended)

    def _names_of(self, stack: str) -> tuple[str, ...]:
        """Return the services of an atomic stack, all of whose writes have ended, that are awaited."""
        if not self.wait:
            return ()
        names = (*services_to_await(self.plan, self.actual, self._of(stack)), *self.resumed, *self._begun_earlier())
        return tuple(dict.fromkeys(name for name in names if self._stacks.get(name) == stack))

    async def _rest(self) -> Finish:
        try:
            outcome = await self._others.outcome()
        except SwarmctlError as error:
            return Finish(lost=error.problems[0])
        return Finish(outcome.assessments, outcome.timed_out)

    async def _atomic(self, stack: str) -> Finish:
        """Wait for the services of an atomic stack, and put it back if it failed."""
        await self._written[stack].wait()
        names, ended, outcome = self._names_of(stack), self._of(stack), Outcome((), timed_out=False)
        try:
            if names:
                outcome = await await_convergence(self.waiting, names, self._updated())
            cause = failure_of(stack, ended, outcome.assessments)
            if cause is None:
                return Finish(outcome.assessments, outcome.timed_out)
            undone = await self._undo(stack, cause, ended)
        except SwarmctlError as error:
            return Finish(outcome.assessments, outcome.timed_out, lost=error.problems[0])
        is_over = await self._tell(undone)
        over = frozenset((stack,)) if is_over else frozenset[str]()
        return Finish(outcome.assessments, outcome.timed_out, (undone,), over=over)

    async def _undo(self, stack: str, cause: Problem, ended: tuple[ActionProgress, ...]) -> UndoneStack:
        """Put the services of one stack back, and wait until they are as they were."""
        now = await self.waiting.looks.whole()
        back = undo(stack, ended, self.main.written, self.actual, now, self.left_open.get(stack))
        run = self.begin_run(back.actions, now)
        writes = await run.carry_out()
        names = [one.action.name for one in writes if one.action.starts_tasks and one.status is ActionStatus.DONE]
        looks: tuple[Assessment, ...] = ()
        if names and self.wait:
            looks = (await await_convergence(self.waiting, names, names)).assessments
        return UndoneStack(stack, cause, (*writes, *back.left), looks)

    async def _tell(self, undone: UndoneStack) -> bool:
        """Tell that a stack was put back, while others are awaited; return whether it is written down that it was.

        Nothing may be left to write down of what is told: somebody else may write to it from then on. What is half
        put back keeps its record, for whoever does that.
        """
        settings = [one.id for one in self.main.actions if one.kind is Kind.SWARM]
        if not all(name in self._ended for name in settings):
            return False  # a write to the swarm's settings is under way, which this one would get in the way of
        half = any(one.status is ActionStatus.FAILED for one in undone.actions)
        if not half:
            closed = Books(self.plan.owner, undo={undone.stack: None})
            if await record(self.waiting.cluster, self.main.writer.patience, closed) is not None:
                return False
        self.waiting.report(undone)
        return not half


def services_to_await(plan: Plan, actual: ActualState, results: tuple[ActionProgress, ...]) -> tuple[str, ...]:
    """Return the names of services whose tasks the plan's finished actions move, and of those that were unfinished.

    What an earlier apply left on its way (killed, interrupted, told not to wait) is awaited as well, whether this
    plan touches it or not: equal specs alone are no convergence, nor is a task that runs where others have crashed in a
    loop. Of services that the plan's manifests don't declare, those whose tasks it moves with a node are awaited,
    unless they were no better before.
    """
    done = [one.action for one in results if one.status is ActionStatus.DONE]
    names = [action.name for action in done if action.starts_tasks]
    told = {one.action.name for one in results if one.status is not ActionStatus.DONE}
    removed = {action.name for action in plan.actions if action.type is ActionType.DELETE}
    if any(action.kind is Kind.NODE and action.effect is TaskEffect.MOVE for action in done):
        names += [
            service.name
            for service in actual.services
            if service.name not in removed
            and (service.name in plan.services or assess(service, actual).verdict is Verdict.CONVERGED)
        ]
    names += [
        service.name
        for service, own in apart(actual, plan.services)
        if service.name not in told and assessed_one(service, own).verdict not in AS_IT_SHOULD_BE
    ]
    return tuple(dict.fromkeys(names))
