"""One connection to a swarm for a whole command, which may ask a person something between two looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, TypeVar

from reconciler.cli.ports import Outside, Swarm
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
        """Return what `work` returns."""
        return self._runner.run(work)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()
