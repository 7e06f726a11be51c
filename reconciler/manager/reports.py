"""What agents report, on its way into the log: many reports in one entry, and no agent waits for it."""

from __future__ import annotations

import asyncio
import logging

from reconciler.manager.ports import Clock, Store
from reconciler.model.assignments import TaskReport
from reconciler.model.commands import ReportTask
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.tables import TaskStatus
from reconciler.model.tasks import TaskState

RETRY_S = 0.1
"""Seconds until reports are proposed again that the store could not take."""

TEXT_LENGTH_MAX = 4096
"""Characters of a message: an engine's error may quote anything."""

_PASSING = frozenset({ErrorCode.RAFT_NO_LEADER, ErrorCode.RAFT_OUTCOME_UNKNOWN, ErrorCode.RAFT_OVERLOADED})
"""Errors after which a report is proposed again: it has the same effect any number of times."""

_log = logging.getLogger(__name__)


def _storable(text: str) -> str:
    """Return `text` with "?" for what is no Unicode, as in the name of a file: a log holds nothing else."""
    return text[:TEXT_LENGTH_MAX].encode("utf-8", "replace").decode()


class Reports:
    """Keeps of each task the newest report that is not in the log yet, as a task's state only grows.

    That a task ran is never skipped, however short it was: restart policies count from it.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[tuple[str, bool], TaskReport] = {}
        self._news = asyncio.Event()

    async def add(self, report: TaskReport) -> None:
        """Take in what an agent saw. Returns at once."""
        self._keep(report)
        self._news.set()

    def _keep(self, report: TaskReport) -> None:
        key = (report.task_id, report.state > TaskState.RUNNING)
        known = self._waiting.get(key)
        if known is None or known.state <= report.state:
            self._waiting[key] = report

    async def run(self) -> None:
        """Propose what comes in until cancelled. Raises SwarmctlError when the store can't go on."""
        while True:
            await self._news.wait()
            self._news.clear()
            reports, self._waiting = self._waiting, {}
            outcomes = await asyncio.gather(*(self._propose(one) for one in reports.values()), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            if self._waiting:
                self._news.set()

    async def _propose(self, report: TaskReport) -> None:
        """Propose one report; what the store refuses is stale, and dropped."""
        status = TaskStatus(
            state=report.state,
            message=_storable(report.message),
            err=_storable(report.err),
            timestamp=report.at,
            pid=report.pid,
            exit_code=report.exit_code,
            address=report.address,
            container_id=report.container_id,
            ports=report.ports,
        )
        command = ReportTask(at=self._clock.now(), task_id=report.task_id, node_id=report.node_id, status=status)
        try:
            await self._store.propose((command,))
        except SwarmctlError as error:
            if error.code not in _PASSING:
                raise
            _log.warning("A report of task %s is tried again: %s", report.task_id, error.problems[0].what)
            await asyncio.sleep(RETRY_S)
            self._keep(report)
