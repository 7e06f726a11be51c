"""The process runtime of one node."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from reconciler.adapters.process_runtime.addresses import LoopbackAddresses
from reconciler.adapters.process_runtime.child import Child, EndedChild, Program, read_exit_code
from reconciler.adapters.process_runtime.child import start as start_program
from reconciler.adapters.process_runtime.environment import command_line, environment, expand, expand_file
from reconciler.adapters.process_runtime.folder import (
    PRIVATE,
    SECRET_MODE,
    NodeFolder,
    inside,
    remove_file_inside,
    remove_tree,
    secret_path,
    write_private,
)
from reconciler.adapters.process_runtime.health import Health, check_of
from reconciler.adapters.process_runtime.leftovers import (
    Escapees,
    TaskProcess,
    read_task,
    record_of,
    sweep_node,
    write_record,
)
from reconciler.adapters.process_runtime.limits import ControlGroups, Limits, limits_of
from reconciler.adapters.process_runtime.log_driver import Kept, check_options, kept_by, kept_by_adopted
from reconciler.adapters.process_runtime.output import OutputLog, error_pipe, last_lines, remove_output
from reconciler.adapters.process_runtime.refusal import cannot_run
from reconciler.adapters.process_runtime.signals import signal_number
from reconciler.adapters.stopping import StopPolicy
from reconciler.model.assignments import Assignment, MountedFile
from reconciler.model.output import LogLine
from reconciler.model.tables import PublishedPort
from reconciler.model.tasks import TaskState

CLOSE_GRACE_S = 1.0
"""For how long tasks may end in peace when the whole swarm stops."""

TAIL_LINES_MAX = 100_000

_log = logging.getLogger(__name__)


class RuntimeParts(msgspec.Struct, frozen=True):
    """What the runtimes of all nodes of this host share. `search_path` is the PATH that tasks get."""

    addresses: LoopbackAddresses
    escapees: Escapees
    search_path: str
    groups: ControlGroups = msgspec.field(default_factory=ControlGroups)


class StartedProcess(msgspec.Struct, frozen=True):
    """A process has no container, and what it publishes the ingress serves."""

    pid: int
    address: str
    container_id: str = ""
    ports: tuple[PublishedPort, ...] = ()


@dataclass(slots=True)
class _Prepared:
    """A task with its folder made. `ended` is done when nothing of it runs any more."""

    folder: Path
    address: str
    secrets: tuple[str, ...]
    output: OutputLog | None = None
    argv: list[str] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    workdir: Path = Path()
    child: Child | EndedChild | None = None
    ended: asyncio.Task[int] | None = None
    health: Health | None = None
    checking: asyncio.Task[None] | None = None
    stopping: bool = False


class ProcessRuntime:
    """Implements agent.ports.TaskRuntime with plain processes."""

    def __init__(self, node_folder: Path, parts: RuntimeParts) -> None:
        self._node = NodeFolder(node_folder)
        self._parts = parts
        self._tasks: dict[str, _Prepared] = {}
        self._left: dict[str, TaskProcess] = {}
        self._begun: frozenset[str] = frozenset()

    async def recover(self, wanted: Collection[str], kept: Collection[str]) -> None:
        """End and remove what a predecessor has left of other tasks, and note what it has started of `wanted`."""
        self._left = await asyncio.to_thread(self._take_stock, frozenset(wanted), frozenset(kept))
        for one in self._left.values():
            self._parts.addresses.hold(one.address)
        self._begun = frozenset(await asyncio.to_thread(self._node.task_ids))

    def _take_stock(self, wanted: frozenset[str], kept: frozenset[str]) -> dict[str, TaskProcess]:
        ids = self._node.task_ids()
        if not ids:
            return {}
        read = {task_id: read_task(self._node.record(task_id)) for task_id in sorted(ids)}
        left = {task_id: one for task_id, one in read.items() if one is not None}
        # A task that was started without its record being written, in a crash, is ended too: nobody could watch it.
        sweep_node(self._node.root, frozenset(str(self._node.task(task_id)) for task_id in left if task_id in wanted))
        for task_id in sorted(ids - wanted):
            if task_id not in kept:
                self._remove(task_id)
            elif task_id in left:
                self._clear_files(task_id, left[task_id].secrets)
        return {task_id: one for task_id, one in left.items() if task_id in wanted}

    async def adopt(self, assignment: Assignment) -> StartedProcess | None:
        """Take over a task that a predecessor has started, also one that has ended meanwhile."""
        task_id = assignment.task_id
        left = self._left.pop(task_id, None)
        if left is None:
            if task_id not in self._begun:
                return None
            if self._node.exit_file(task_id).exists():
                self._tasks[task_id] = self._ended(assignment)
                return StartedProcess(0, "")
            await asyncio.to_thread(self._remove, task_id)  # begun, and never started: it is made anew
            return None
        output = self._output(task_id, kept_by_adopted(assignment))
        output.reopen_pipes()
        folder = self._node.task(task_id)
        adopted = _Prepared(folder, left.address, left.secrets, output)
        self._tasks[task_id] = adopted
        adopted.child = _watch(left, self._node.exit_file(task_id))
        adopted.environment = environment(assignment, str(folder), left.address, self._parts.search_path)
        adopted.workdir = _workdir(folder, assignment)
        if assignment.state is TaskState.RUNNING:
            self._check_health(assignment, adopted, fit=True)
        else:
            self._check_health(assignment, adopted)
        ending = self._see_to_the_end(task_id, adopted, adopted.child)
        adopted.ended = asyncio.get_running_loop().create_task(ending, name=f"end of task {task_id}")
        return StartedProcess(left.program_pid, left.address)

    def _output(self, task_id: str, kept: Kept) -> OutputLog:
        return OutputLog(self._node.output(task_id), self._node.pipe(task_id), kept)

    def _ended(self, assignment: Assignment) -> _Prepared:
        """Return a task that had ended, and been cleared, before its end was told."""
        task_id, loop = assignment.task_id, asyncio.get_running_loop()
        output = self._output(task_id, kept_by_adopted(assignment))
        output.finish()
        ended = _Prepared(self._node.task(task_id), "", (), output)
        ended.ended = loop.create_task(_code(read_exit_code(self._node.exit_file(task_id))))
        return ended

    async def prepare(self, assignment: Assignment) -> None:
        """Make the task's folder with its secrets and configs, and check that its program exists."""
        task_id = assignment.task_id
        address = self._parts.addresses.take()
        making = asyncio.ensure_future(asyncio.to_thread(self._make, assignment, address))
        try:
            await asyncio.shield(making)
        finally:
            await asyncio.wait({making})  # a thread can't be cancelled, and is soon done
            if making.exception() is None:
                self._tasks[task_id] = making.result()
            else:
                self._parts.addresses.give_back(address)

    def _make(self, assignment: Assignment, address: str) -> _Prepared:
        folder = self._node.task(assignment.task_id)
        variables = environment(assignment, str(folder), address, self._parts.search_path)
        argv, limits = command_line(assignment), limits_of(assignment)
        check_options(assignment)
        try:
            self._node.make()
            folder.mkdir(mode=PRIVATE)
            workdir = _workdir(folder, assignment)
            secrets = tuple(str(_write_secret(folder, secret, assignment)) for secret in assignment.secrets)
            for config in assignment.configs:
                write_private(inside(folder, config.target), _content(config, assignment), config.mode)
            _check_program(argv[0], workdir, variables["PATH"])
        except BaseException as error:
            remove_tree(folder)  # a refused task leaves no secret behind
            if isinstance(error, OSError):
                raise cannot_run(f"preparing the task's folder failed: {error.strerror}") from error
            raise
        return _Prepared(folder, address, secrets, None, argv, limits, variables, workdir)

    async def start(self, assignment: Assignment) -> StartedProcess:
        """Start the program in a session of its own; its output goes to the task's log, where its driver keeps one."""
        prepared = self._tasks[assignment.task_id]
        task_id = assignment.task_id
        kept = kept_by(assignment)
        try:
            prepared.output = self._output(task_id, kept)
            writing = prepared.output.open_pipes()
        except OSError as error:
            raise cannot_run(f"making the task's pipes failed: {error.strerror}") from error
        exit_file = self._node.exit_file(task_id)
        limit = partial(self._limit, task_id, prepared.limits) if prepared.limits else None
        program = Program(prepared.argv, prepared.workdir, prepared.environment, writing, exit_file, limit)
        try:
            prepared.child, pid = await start_program(program)
        finally:
            for end in writing:
                os.close(end)
        self._check_health(assignment, prepared)
        ending = self._see_to_the_end(task_id, prepared, prepared.child)
        prepared.ended = asyncio.get_running_loop().create_task(ending, name=f"end of task {task_id}")
        keeper = record_of(prepared.child.keeper_pid)
        try:
            write_record(self._node.record(task_id), TaskProcess(keeper, pid, prepared.address, prepared.secrets))
        except OSError as error:
            # It runs, and no successor would find it: the caller abandons it.
            raise cannot_run(f"the task's process can't be written down: {error.strerror}") from error
        return StartedProcess(pid, prepared.address)

    def _limit(self, task_id: str, limits: Limits, pid: int) -> None:
        self._parts.groups.put(task_id, pid, limits)

    def _check_health(self, assignment: Assignment, prepared: _Prepared, *, fit: bool = False) -> None:
        check = check_of(assignment)
        if check is None:
            return
        prepared.health = Health(check, prepared.workdir, prepared.environment)
        if fit:
            prepared.health.fit.set()
        checking = prepared.health.run()
        prepared.checking = asyncio.get_running_loop().create_task(checking, name=f"health {assignment.task_id}")

    async def become_fit(self, task_id: str) -> None:
        """Wait until the task's healthcheck has succeeded, if it has one."""
        health = self._tasks[task_id].health
        if health is not None:
            await health.become_fit()

    async def _see_to_the_end(self, task_id: str, prepared: _Prepared, child: Child | EndedChild) -> int:
        code = await child.exited
        if prepared.checking is not None:
            prepared.checking.cancel()
        await self._parts.escapees.end(str(prepared.folder))
        if not self._node.exit_file(task_id).exists():
            try:
                self._node.exit_file(task_id).write_text(f"{code}\n")  # before the record goes: one of both is there
            except OSError as error:  # a full disk costs a successor the code, not the node its tasks
                _log.warning("The exit code of task %s can't be written down: %s", task_id, error.strerror)
        self._clear(task_id, prepared)
        return code

    def _clear(self, task_id: str, prepared: _Prepared) -> None:
        """Let go of what only a running task needs; its secrets above all."""
        if prepared.output is not None:
            prepared.output.finish()
        self._clear_files(task_id, prepared.secrets)
        self._parts.addresses.give_back(prepared.address)

    def _clear_files(self, task_id: str, secrets: Collection[str]) -> None:
        for path in secrets:
            remove_file_inside(self._node.task(task_id), Path(path))
        self._node.record(task_id).unlink(missing_ok=True)

    async def wait(self, task_id: str) -> int:
        """Return the exit code once the task and all that it started have ended."""
        task = self._tasks[task_id]
        if task.ended is None:
            raise cannot_run("the task was never started")
        if task.health is not None and not task.ended.done() and not task.stopping:
            return await task.health.outlive(task.ended)
        return await asyncio.shield(task.ended)

    async def stop(self, task_id: str, policy: StopPolicy) -> None:
        """Send the stop signal to the process group, and SIGKILL after the grace period."""
        prepared = self._tasks.get(task_id)
        if prepared is None or prepared.child is None or prepared.ended is None or prepared.ended.done():
            return
        prepared.stopping = True
        prepared.child.signal(signal_number(policy.signal))
        await asyncio.wait((prepared.ended,), timeout=policy.grace_s)
        prepared.child.signal(signal.SIGKILL)
        await asyncio.shield(prepared.ended)

    async def abandon(self, task_id: str) -> None:
        """Kill what runs of the task, and let go of its secrets and its address; its output stays."""
        prepared = self._tasks.pop(task_id, None)
        if prepared is None:
            return
        if prepared.child is None or prepared.ended is None:
            self._clear(task_id, prepared)
            return
        prepared.child.signal(signal.SIGKILL)
        await asyncio.shield(prepared.ended)

    async def forget(self, task_id: str) -> None:
        """Remove the task's folder and output; what of it might still run is killed first."""
        await self.abandon(task_id)
        await asyncio.to_thread(self._remove, task_id)

    def _remove(self, task_id: str) -> None:
        self._parts.groups.remove(task_id)
        remove_tree(self._node.task(task_id))
        remove_output(self._node.output(task_id))
        pipe = self._node.pipe(task_id)
        for path in (self._node.record(task_id), self._node.exit_file(task_id), pipe, error_pipe(pipe)):
            path.unlink(missing_ok=True)

    async def output(self, task_id: str, tail_lines: int, since_ns: int = 0) -> tuple[LogLine, ...]:
        """Return the last lines that the task printed, oldest first."""
        lines = min(tail_lines, TAIL_LINES_MAX)
        return await asyncio.to_thread(last_lines, self._node.output(task_id), lines, since_ns)

    def annotate(self, task_id: str, line: str) -> None:
        """Add a line to the output of a running task."""
        prepared = self._tasks.get(task_id)
        if prepared is not None and prepared.output is not None:
            prepared.output.add_line(line)

    async def close(self) -> None:
        """End every task of this node: SIGTERM, a short grace, SIGKILL."""
        running = [one for one in self._tasks.values() if one.child is not None and one.ended is not None]
        endings = [one.ended for one in running if one.ended is not None]
        for one in running:
            _signal(one, signal.SIGTERM)
        if endings:
            await asyncio.wait(endings, timeout=CLOSE_GRACE_S)
        for task_id in list(self._tasks):
            await self.abandon(task_id)

    async def let_go(self) -> None:
        """Leave every task as it is, for a successor to adopt. What was only prepared is removed, its secrets above
        all: the successor prepares it anew."""
        for task_id, one in list(self._tasks.items()):
            if one.child is None and one.ended is None:
                await self.abandon(task_id)
                await asyncio.to_thread(remove_tree, one.folder)
                continue
            if one.child is not None:
                one.child.let_go()
            for watching in (one.ended, one.checking):
                if watching is not None:
                    watching.cancel()
            if one.output is not None:
                one.output.let_go()


async def _code(code: int) -> int:
    return code


def _watch(left: TaskProcess, exit_file: Path) -> Child | EndedChild:
    """Return what watches an adopted task, which may have ended while nobody was there."""
    if left.is_alive:
        with contextlib.suppress(ProcessLookupError):
            return Child(left.keeper.pid, exit_file)
    return EndedChild(exit_file)


def _signal(prepared: _Prepared, number: int) -> None:
    if prepared.child is not None:
        prepared.child.signal(number)


def _workdir(folder: Path, assignment: Assignment) -> Path:
    wanted = expand(str(assignment.container.get("Dir") or ""), assignment)
    if not wanted.strip("/"):
        return folder
    workdir = inside(folder, wanted)
    workdir.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    return workdir


def _content(file: MountedFile, assignment: Assignment) -> bytes:
    if not file.templated:
        return file.content
    return expand_file(file.content, assignment)


def _write_secret(folder: Path, secret: MountedFile, assignment: Assignment) -> Path:
    path = secret_path(folder, secret)
    write_private(path, _content(secret, assignment), SECRET_MODE)
    return path


def _check_program(name: str, workdir: Path, search_path: str) -> None:
    """Refuse a program that isn't there, as early as a container engine would."""
    candidate = str(workdir / name) if "/" in name else name
    if shutil.which(candidate, path=search_path) is None:
        raise cannot_run(f'exec: "{name}": executable file not found in $PATH')
