"""One connection to a swarm for a whole command, which may ask a person something between two looks at it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, TypeVar

import typer

from reconciler.cli.ports import Outside, Swarm
from reconciler.model.errors import ExitCode
from reconciler.settings import EndpointSettings

Answer = TypeVar("Answer")


class Connection:
    """A `with` block in which coroutines run one after the other on one event loop.

    Between them Python's own handling of Ctrl-C is in force, so that a question at the terminal can be interrupted.
    """

    def __init__(self, outside: Outside, endpoint: EndpointSettings) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        try:
            self.swarm: Swarm = self.run(self._stack.enter_async_context(outside.connect(endpoint)))
        except BaseException:
            self._runner.close()
            raise

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what `work` returns. SIGTERM ends it as Ctrl-C does, and then the command; a second one at once."""
        return self._runner.run(_ending_on_sigterm(work))

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()


async def _ending_on_sigterm(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await `work`, which SIGTERM cancels: what stops a CI job or a container must hear of what was done, too."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    told_to_end = asyncio.Event()

    def end() -> None:
        told_to_end.set()
        task.cancel()
        loop.remove_signal_handler(signal.SIGTERM)

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        return await work
    except asyncio.CancelledError:
        if told_to_end.is_set():
            raise typer.Exit(ExitCode.TERMINATED) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
