"""Carries some actions out, each once what it depends on has succeeded, and tells how each ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from reconciler.controller.convergence import Waiting, await_convergence
from reconciler.controller.nodes import await_empty, await_node
from reconciler.controller.patience import AWAY
from reconciler.controller.readiness import Readiness
from reconciler.controller.write import Writer
from reconciler.model.endings import problem_of
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import Action
from reconciler.model.progress import ActionProgress, ActionStatus
from reconciler.model.sensitive import masked_text, secrets_in

_AGAIN = (
    "Run the command again: it plans with what the swarm is now. If the same comes back, mend what the engine names."
)

_MEND = "Mend that one and apply again."

INTERRUPT_GRACE_S = 5.0
"""Seconds for which an interrupted apply lets the writes under way end, so that it can say how they did."""


class Run:
    """Some actions under way. `written` are the ids of those that were carried out, whatever became of the tasks."""

    def __init__(
        self,
        actions: tuple[Action, ...],
        writer: Writer,
        waiting: Waiting,
        *,
        parallel: int,
        wait: bool,
        interrupt_grace_s: float = INTERRUPT_GRACE_S,
    ) -> None:
        self.actions, self.writer, self.waiting, self.wait = actions, writer, waiting, wait
        self._interrupt_grace_s = interrupt_grace_s
        self.written: set[str] = set()
        self.sent_as: dict[str, Action] = {}
        """{action's id: what is sent in its place}, where a write of ours has moved what the plan was made against."""
        self.ended: Callable[[ActionProgress], None] = lambda _: None
        """Is told how each action of `carry_out` ended, once nobody waits for it any more."""
        self._tasks: dict[str, asyncio.Task[ActionProgress]] = {}
        self._slots = asyncio.Semaphore(parallel)
        self._needed = {name for action in actions for name in action.after}
        self._readiness = Readiness(waiting, actions if wait else ())

    async def carry_out(self) -> tuple[ActionProgress, ...]:
        """Return how each action ended, in their order."""
        async with asyncio.TaskGroup() as group:
            self._readiness.begin(group)
            for action in self.actions:
                self._tasks[action.id] = group.create_task(self._perform(action))
        return tuple(self._tasks[action.id].result() for action in self.actions)

    async def carry_out_last(self, action: Action, earlier: Iterable[ActionProgress]) -> ActionProgress:
        """Return how one more action ended, which comes after all of `earlier`."""
        return await self._after(action, earlier)

    async def _perform(self, action: Action) -> ActionProgress:
        """Return how the action ended, once all that must come before it has."""
        ended = await self._after(action, [await self._tasks[name] for name in action.after])
        self.ended(ended)
        return ended

    async def _after(self, action: Action, earlier: Iterable[ActionProgress]) -> ActionProgress:
        broken = next((one for one in earlier if one.status is not ActionStatus.DONE), None)
        if broken is not None:
            return self._end(action, ActionStatus.SKIPPED, _skipped_because(action, broken))
        if unready := await self._readiness.why_not(action):
            return self._end(action, ActionStatus.SKIPPED, left_as_it_is(action, unready, _MEND))
        if left := await await_empty(self.waiting.looks.look, action, self.waiting.timeout_s):
            return self._end(action, ActionStatus.FAILED, left)
        async with self._slots:
            if self.writer.patience.gone is not None:
                return self._end(action, ActionStatus.SKIPPED, _nobody_there(action, self.writer.patience.gone))
            self.waiting.report(ActionProgress(action, ActionStatus.RUNNING))
            problem = await self._written(action)
        if problem is not None:
            return self._end(action, ActionStatus.FAILED, problem)
        self.written.add(action.id)
        try:
            settled = await self._settled(action)
        except asyncio.CancelledError:
            self._end(action, ActionStatus.DONE, None)  # interrupted while waiting: the write itself is done
            raise
        return self._end(action, *settled, written=True)

    async def _written(self, action: Action) -> Problem | None:
        """Do the write, and return why it failed. When interrupted, say how it ended if it does so soon."""
        write = asyncio.ensure_future(self._outcome(action))
        try:
            return await asyncio.shield(write)
        except asyncio.CancelledError:
            done, _ = await asyncio.wait([write], timeout=self._interrupt_grace_s)
            if done:
                problem = write.result()
                self._end(action, ActionStatus.FAILED if problem else ActionStatus.DONE, problem)
            write.cancel()
            raise

    async def _outcome(self, action: Action) -> Problem | None:
        try:
            await self.writer.carry_out(self.sent_as.get(action.id, action))
        except SwarmctlError as error:
            return _failed(action, error.problems[0])
        return None

    async def _settled(self, action: Action) -> tuple[ActionStatus, Problem | None, tuple[str, ...]]:
        """Wait for a node's new role; and for a service's tasks where another action depends on them."""
        if action.kind is Kind.NODE:
            # A later step on roles counts on this one having ended, whether the user wants to wait or not.
            waits = self.wait or action.id in self._needed
            own = self.waiting.before.local_node_id if self.waiting.before else ""
            timeout_s = self.waiting.timeout_s
            problem = await await_node(self.writer.cluster, action, timeout_s, own) if waits else None
            return ActionStatus.FAILED if problem else ActionStatus.DONE, problem, ()
        if not (self.wait and action.id in self._needed and action.starts_tasks):
            return ActionStatus.DONE, None, ()
        self.waiting.report(ActionProgress(action, ActionStatus.WAITING))
        try:
            outcome = await await_convergence(self.waiting, (action.name,), frozenset((action.name,)))
        except SwarmctlError as error:
            return ActionStatus.FAILED, error.problems[0], ()
        if outcome.converged:
            return ActionStatus.DONE, None, ()
        [look] = outcome.assessments
        return ActionStatus.FAILED, problem_of(look), look.log

    def _end(
        self,
        action: Action,
        status: ActionStatus,
        problem: Problem | None,
        log: tuple[str, ...] = (),
        *,
        written: bool = False,
    ) -> ActionProgress:
        progress = ActionProgress(action, status, problem, log, written or status is ActionStatus.DONE)
        self.waiting.report(progress)
        return progress


def _failed(action: Action, problem: Problem) -> Problem:
    """Return why an action failed, for a user to whom the engine's answer alone does not say what it is about.

    An engine may quote what it refuses: nothing secret of the spec is left in its words.
    """
    known = secrets_in(action.spec, action.read_spec)
    told = replace(
        problem,
        what=masked_text(problem.what, known),
        why=masked_text(problem.why, known),
        place=problem.place or action.place,
        hint=problem.hint or _AGAIN,
    )
    if action.name in told.what:
        return told
    how = "may not have been" if problem.code in AWAY else "was not"  # an answer that is lost says neither
    what = f"{action.kind.capitalize()} {action.name} {how} {action.type.done}"
    return replace(told, what=f"{what}: {told.what[:1].lower()}{told.what[1:]}")


def left_as_it_is(action: Action, why: str, hint: str) -> Problem:
    """Return what is told of an action that was not begun."""
    return Problem(
        ErrorCode.APPLY_FAILED,
        f"{action.kind.capitalize()} {action.name} was left as it is.",
        why=why,
        hint=hint,
        place=action.place,
    )


def _skipped_because(action: Action, broken: ActionProgress) -> Problem:
    why = f"{broken.action.id}, which must come before, {broken.status.value}."
    return left_as_it_is(action, why, _MEND)


def _nobody_there(action: Action, gone: SwarmctlError) -> Problem:
    return left_as_it_is(action, gone.problems[0].what, "Apply again once it answers: that does what is left.")
