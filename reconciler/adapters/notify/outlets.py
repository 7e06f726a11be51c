"""Outlets that are open together: as long as this controller leads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from reconciler.adapters.notify.outlet import Outlet, OutletStatus

Payload = TypeVar("Payload")


class Outlets(Generic[Payload]):
    """Sends what its outlets, by name, are offered while its context is open.

    On leaving, what is under way is left alone: whoever leads next finds it in the store.
    """

    def __init__(self, outlets: Mapping[str, Outlet[Payload]]) -> None:
        self._outlets = outlets
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(one.run(), name=f"outlet {name}") for name, one in self._outlets.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def statuses(self) -> Sequence[OutletStatus]:
        """Return where each outlet stands."""
        return tuple(one.status for one in self._outlets.values())
