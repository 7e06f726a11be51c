"""The agent of one node: takes assignments, runs each task through its life, reports every state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from reconciler.agent.machine import (
    Instruction,
    ending,
    failed_before,
    next_instruction,
    stop_grace_s,
    stop_signal,
)
from reconciler.agent.ports import Clock, ReportSink, StartedTask, StopPolicy, TaskRuntime
from reconciler.model.assignments import Assignment, AssignmentSet, TaskReport
from reconciler.model.errors import SwarmctlError
from reconciler.model.output import LogLine
from reconciler.model.tasks import TaskState

_log = logging.getLogger(__name__)

_MESSAGES = {
    TaskState.ACCEPTED: "accepted",
    TaskState.PREPARING: "preparing",
    TaskState.READY: "prepared",
    TaskState.STARTING: "starting",
    TaskState.RUNNING: "started",
    TaskState.COMPLETE: "finished",
    TaskState.SHUTDOWN: "shutdown",
}

RECOVER_RETRY_S = 1.0
"""Seconds until a runtime is asked again what a predecessor has left."""

LOST = "the task's process was gone when its node came back"


@dataclass(slots=True)
class _Held:
    """One task that this node knows. `message` is the last reported one: a failure keeps it, as in Swarm."""

    assignment: Assignment
    desired: TaskState
    state: TaskState = TaskState.ASSIGNED
    message: str = ""
    started: StartedTask | None = None
    forget: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Agent:
    """Runs the tasks of one node on `runtime`, each in an asyncio task of its own, one operation at a time."""

    def __init__(self, node_id: str, runtime: TaskRuntime, clock: Clock, report: ReportSink) -> None:
        self._node_id = node_id
        self._runtime = runtime
        self._clock = clock
        self._report = report
        self._held: dict[str, _Held] = {}
        self._assignments = AssignmentSet({})
        self._assigned = asyncio.Event()
        self._lets_go = False

    def let_go(self) -> None:
        """At the end leave the tasks running, for a successor to take over."""
        self._lets_go = True

    def assign(self, assignments: AssignmentSet) -> None:
        """Take over what the node shall run from now on. Only the newest set counts."""
        self._assignments = assignments
        self._assigned.set()

    async def task_output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines of a task's output that are younger than `since_ns`, oldest first."""
        return await self._runtime.output(task_id, tail_lines, since_ns)

    def annotate(self, task_id: str, line: str) -> None:
        """Add a line of the swarm's own to a task's output."""
        self._runtime.annotate(task_id, line)

    async def run(self) -> None:
        """Serve until cancelled; then everything that still runs here is ended, unless it was told to let go."""
        try:
            await self._assigned.wait()
            await self._recover()
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._assigned.clear()
                    self._take_over(tasks)
                    await self._assigned.wait()
        finally:
            await (self._runtime.let_go() if self._lets_go else self._runtime.close())

    async def _recover(self) -> None:
        """Take stock of what a predecessor has left; a runtime that can't tell now, as its engine is away, is asked
        again."""
        while True:
            try:
                return await self._runtime.recover(self._assignments.wanted, self._assignments.kept)
            except SwarmctlError as error:
                _log.warning("The node's tasks can't be looked at yet: %s", error.problems[0].what)
            await asyncio.sleep(RECOVER_RETRY_S)

    def _take_over(self, tasks: asyncio.TaskGroup) -> None:
        wanted, kept = self._assignments.wanted, self._assignments.kept
        for task_id, assignment in wanted.items():
            held = self._held.get(task_id)
            if held is None:
                held = self._held[task_id] = _Held(assignment, assignment.desired_state)
                tasks.create_task(self._live(held), name=f"task {task_id}")
            elif assignment.desired_state > held.desired:
                held.desired = assignment.desired_state
                held.changed.set()
        for task_id, held in self._held.items():
            if task_id in wanted:
                continue
            forget = task_id not in kept
            if held.desired < TaskState.SHUTDOWN or forget > held.forget:
                held.desired = max(held.desired, TaskState.SHUTDOWN)
                held.forget = forget
                held.changed.set()

    async def _live(self, held: _Held) -> None:
        """Lead one task from its assignment to its end, then wait until it is to be forgotten."""
        task_id = held.assignment.task_id
        try:
            await self._at_its_own_cost(held, "adopt", self._resume(held))
            while not (held.state > TaskState.RUNNING and held.forget):
                await self._step(held)
            await self._let_go_of(held, self._runtime.forget(task_id))
        finally:
            self._held.pop(task_id, None)

    async def _resume(self, held: _Held) -> None:
        """Find out where a predecessor has left the task. One that has run is never started again; one that was
        being started, and of which nothing is there, is."""
        known = held.assignment.state
        if known >= TaskState.STARTING:
            held.state, held.message = known, _MESSAGES.get(known, "")  # for the case that this goes wrong
        started = await self._runtime.adopt(held.assignment)
        if started is not None:
            held.started = started
            reached = TaskState.RUNNING if known is TaskState.RUNNING else TaskState.STARTING
            held.state, held.message = reached, _MESSAGES[reached]  # as is known already
        elif known < TaskState.RUNNING:
            held.state, held.message = TaskState.ASSIGNED, ""
        elif held.desired >= TaskState.SHUTDOWN:
            await self._end(held, TaskState.SHUTDOWN, _MESSAGES[TaskState.SHUTDOWN])
        else:
            await self._end(held, TaskState.FAILED, _MESSAGES[TaskState.RUNNING], LOST)

    async def _step(self, held: _Held) -> None:
        held.changed.clear()
        instruction = next_instruction(held.state, held.desired)
        await self._at_its_own_cost(held, instruction.value, self._carry_out(instruction, held))

    async def _at_its_own_cost(self, held: _Held, doing: str, work: Awaitable[None]) -> None:
        """Do something for one task; what goes wrong costs that task."""
        try:
            await work
        except SwarmctlError as error:
            await self._fail(held, error.problems[0].what)
        except Exception as error:  # noqa: BLE001 -- see below
            # A bug of ours must cost one task, not the node; the task says so, and the log has the story.
            _log.exception("task %s: %s went wrong", held.assignment.task_id, doing)
            await self._fail(held, f"internal error ({type(error).__name__})")

    async def _fail(self, held: _Held, err: str) -> None:
        """End a task that can't go on; whatever of it runs already must not run on unseen."""
        await self._let_go_of(held, self._runtime.abandon(held.assignment.task_id))
        await self._end(held, failed_before(held.state), held.message, err)

    async def _let_go_of(self, held: _Held, letting_go: Awaitable[None]) -> None:
        try:
            await letting_go
        except Exception:  # noqa: BLE001 -- as above; nothing more can be done for the task
            _log.exception("task %s: not all of it can be let go of", held.assignment.task_id)

    async def _carry_out(self, instruction: Instruction, held: _Held) -> None:
        if instruction is Instruction.ACCEPT:
            await self._reach(held, TaskState.ACCEPTED)
        elif instruction is Instruction.PREPARE:
            await self._reach(held, TaskState.PREPARING)
            if await self._prepare(held):
                await self._reach(held, TaskState.READY)
        elif instruction is Instruction.START:
            await self._start(held)
        elif instruction is Instruction.AWAIT_EXIT:
            await self._await_exit(held)
        elif instruction is Instruction.STOP:
            await self._stop(held)
        else:
            await held.changed.wait()

    async def _prepare(self, held: _Held) -> bool:
        """Prepare a task, unless it is to end meanwhile: what it waits for may be far away. Return whether it was."""
        preparing = asyncio.ensure_future(self._runtime.prepare(held.assignment))
        try:
            while not preparing.done() and held.desired < TaskState.SHUTDOWN:
                held.changed.clear()
                changed = asyncio.ensure_future(held.changed.wait())
                await asyncio.wait({preparing, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            if not preparing.done():
                preparing.cancel()
                await asyncio.wait({preparing})
        if preparing.cancelled():
            return False
        preparing.result()
        return True

    async def _start(self, held: _Held) -> None:
        """Start a task, unless that was done, and wait until it is fit; it may end, or be ended, before."""
        task_id = held.assignment.task_id
        if held.started is None:
            await self._reach(held, TaskState.STARTING)
            if held.assignment.lacking:
                return await self._fail(held, f"starting container failed: {held.assignment.lacking}")
            held.started = await self._runtime.start(held.assignment)
        fit = asyncio.ensure_future(self._runtime.become_fit(task_id))
        try:
            await asyncio.wait((fit,), timeout=0)
            if not fit.done():
                await self._await_exit(held, fit)
            if fit.done() and held.state is TaskState.STARTING:
                fit.result()
                await self._reach(held, TaskState.RUNNING)
        finally:
            fit.cancel()

    async def _await_exit(self, held: _Held, *others: asyncio.Future[None]) -> None:
        """Wait until the task ends by itself, or something else is desired, or one of `others` is done."""
        exited = asyncio.ensure_future(self._runtime.wait(held.assignment.task_id))
        changed = asyncio.ensure_future(held.changed.wait())
        try:
            waiting: list[asyncio.Future[Any]] = [exited, changed, *others]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                result = ending(exited.result())
                await self._end(held, result.state, result.message, result.err, exited.result())
        finally:
            exited.cancel()
            changed.cancel()

    async def _stop(self, held: _Held) -> None:
        exit_code = None
        if held.state >= TaskState.STARTING:
            policy = StopPolicy(stop_signal(held.assignment), stop_grace_s(held.assignment))
            await self._runtime.stop(held.assignment.task_id, policy)
            exit_code = await self._runtime.wait(held.assignment.task_id)
        else:
            await self._runtime.abandon(held.assignment.task_id)
        await self._end(held, TaskState.SHUTDOWN, _MESSAGES[TaskState.SHUTDOWN], "", exit_code)

    async def _reach(self, held: _Held, state: TaskState) -> None:
        if state > held.state:
            held.state, held.message = state, _MESSAGES[state]
            await self._tell(held)

    async def _end(
        self, held: _Held, state: TaskState, message: str, err: str = "", exit_code: int | None = None
    ) -> None:
        held.state, held.message = state, message
        await self._tell(held, err, exit_code)

    async def _tell(self, held: _Held, err: str = "", exit_code: int | None = None) -> None:
        started, has_ended = held.started, held.state > TaskState.RUNNING
        await self._report(
            TaskReport(
                task_id=held.assignment.task_id,
                node_id=self._node_id,
                state=held.state,
                message=held.message,
                at=self._clock.now(),
                err=err,
                pid=None if started is None else 0 if has_ended else started.pid,
                exit_code=exit_code,
                address=started.address if started else "",
                container_id=started.container_id if started else "",
                ports=started.ports if started and not has_ended else (),
            )
        )
