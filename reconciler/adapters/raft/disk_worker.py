"""The one thread in which a member's DurableLog works, so that the event loop never waits long for the disk."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.log import DurableLog
from reconciler.model.errors import ErrorCode, SwarmctlError

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Job = tuple[Callable[[DurableLog], Any], Callable[[Any], None], Callable[[BaseException], None]]


class DiskWorker:
    """Carries out jobs on the log in the order given, and tells their results on the event loop, in that order too.

    A full disk holds a `patient` job up, and all behind it, until there is space or the worker is stopped. Any other
    error of a patient job goes to `failed`, and nothing is done any more: the others must not follow one that is
    missing.
    """

    def __init__(self, durable: DurableLog, retry_s: float, failed: Callable[[BaseException], None]) -> None:
        self._durable = durable
        self._retry_s = retry_s
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._ending = False
        self._under_way = 0
        """Jobs whose results the loop has not been told."""
        self.full: SwarmctlError | None = None
        """Why nothing is written right now; None while it is. Set by the thread, to be read by anyone."""
        self._thread = threading.Thread(target=self._work, name="raft-disk", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[DurableLog], Result], done: Callable[[Result], None]) -> None:
        """Do a patient job, and call `done` on the loop. Nothing happens any more once `stop` was called."""
        if not self._ending:
            self._put((lambda durable: self._patiently(work, durable), done, self._failed))

    def attempt(self, work: Callable[[DurableLog], Any]) -> bool:
        """Do a job here and now, on the loop, which a quick one is worth. False: there are others before it, or it has
        failed; then `submit` it. What it failed of, it meets in the thread again, which knows what to do.
        """
        if self._under_way or self._ending:
            return False
        try:
            work(self._durable)
        except Exception as error:  # noqa: BLE001 - see above
            log.debug("A job that was tried on the loop failed: %s", error)
            return False
        return True

    async def run(self, work: Callable[[DurableLog], Result]) -> Result:
        """Do a job whose errors, also of a full disk, are the caller's to see."""
        if self._ending:
            raise answers.stopped("This member")
        future: asyncio.Future[Result] = self._loop.create_future()

        def done(result: Result) -> None:
            if not future.done():
                future.set_result(result)

        def refused(error: BaseException) -> None:
            if not future.done():
                future.set_exception(error)

        self._put((work, done, refused))
        return await future

    async def stop(self) -> None:
        """End after the jobs that were given; those that a full disk holds up are dropped."""
        self._ending = True
        self._stopping.set()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _put(self, job: Job) -> None:
        self._under_way += 1
        self._jobs.put(job)

    def _work(self) -> None:
        failure: BaseException | None = None
        while (job := self._jobs.get()) is not None:
            work, done, refused = job
            if failure is not None:
                self._tell(refused, failure)
                continue
            try:
                result = work(self._durable)
            except BaseException as error:  # noqa: BLE001 - whoever gave the job decides, on the loop
                self._tell(refused, error)
                failure = error if refused == self._failed else None
            else:
                self._tell(done, result)

    def _patiently(self, work: Callable[[DurableLog], Result], durable: DurableLog) -> Result:
        while True:
            try:
                result = work(durable)
            except SwarmctlError as error:
                if error.code is not ErrorCode.RAFT_DISK_FULL or self._stopping.is_set():
                    raise
                if self.full is None:
                    log.error(
                        "The disk of %s is full; this member waits for space. [%s]", durable.folder, error.code.value
                    )
                self.full = error
                self._stopping.wait(self._retry_s)
            else:
                if self.full is not None:
                    log.warning("The disk of %s has space again.", durable.folder)
                self.full = None
                return result

    def _tell(self, what: Callable[[Any], None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(self._told, what, value)
        except RuntimeError:
            log.debug("A result of the disk came after the end of the event loop.")

    def _told(self, what: Callable[[Any], None], value: object) -> None:
        self._under_way -= 1
        what(value)
