"""Blocking work on a thread that nobody has to wait for: a sink that hangs keeps its own thread and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from reconciler.adapters.notify.outlet import NotSent

THREAD_NAME: Final = "alert-sink"
HANGING_MAX: Final = 3
"""Threads of one sink that may hang at once; until one of them ends, no further try begins."""

Result = TypeVar("Result")


class Apart:
    """Runs work of one sink, each on a daemon thread: those don't hold up the end of the program, a pool's would."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` does, or raise what it raises. Cancelled, it leaves the thread to itself.

        Raises NotSent when too many earlier ones still hang.
        """
        self._threads = [one for one in self._threads if one.is_alive()]
        if len(self._threads) >= HANGING_MAX:
            raise NotSent(f"{HANGING_MAX} earlier tries still hang.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        def body() -> None:
            result, error = None, None
            try:
                result = work()
            except Exception as raised:  # noqa: BLE001 - handed over to whoever waits
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        thread = threading.Thread(target=body, name=THREAD_NAME, daemon=True)
        self._threads.append(thread)
        thread.start()
        return await answer
