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

ENDINGS = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGHUP: ExitCode.HUNG_UP}
"""{signal that ends what is under way: exit code of the command}."""


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
        """Return what `work` returns.

        SIGTERM, and SIGHUP of a terminal that closes, end it as Ctrl-C does, and then the command; a second at once.
        """
        return self._runner.run(_ending_when_told(work))

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()


async def _ending_when_told(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await `work`, which SIGTERM or SIGHUP cancels: whoever stops a CI job, or reads the log of a session that was
    lost, must hear of what was done, too. A signal that is ignored, as SIGHUP under nohup, stays ignored.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    heeded = {number: code for number, code in ENDINGS.items() if signal.getsignal(number) is not signal.SIG_IGN}
    told: list[ExitCode] = []

    def end(code: ExitCode) -> None:
        told.append(code)
        task.cancel()
        heed_no_more()

    def heed_no_more() -> None:
        for number in heeded:
            loop.remove_signal_handler(number)

    for number, code in heeded.items():
        loop.add_signal_handler(number, end, code)
    try:
        return await work
    except asyncio.CancelledError:
        if told:
            raise typer.Exit(told[0]) from None
        raise
    finally:
        heed_no_more()
