"""One look for all who ask for one, which reads what any of them needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from reconciler.controller.looks import Looks
from reconciler.controller.patience import Patience
from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from tests.fakes.virtual_time import in_virtual_time
from tests.unit.planning.builders import actual


class Read:
    """A cluster of which each read takes a second; `calls` are those that have begun."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        return await self._read("everything" if since is None else "again")

    async def observe_tasks(self, since: ActualState, /) -> ActualState:
        return await self._read("tasks")

    async def _read(self, what: str) -> ActualState:
        self.calls.append(what)
        await asyncio.sleep(1.0)
        return actual()


def calls_of(story: Callable[[Looks], Any], before: ActualState | None) -> list[str]:
    cluster = Read()

    async def told() -> None:
        await story(Looks(cast(Cluster, cluster), Patience(), before))

    in_virtual_time(told())
    return cluster.calls


def test_a_look_that_one_needs_whole_is_whole_for_all_and_the_next_need_not_be():
    async def story(looks: Looks) -> None:
        first = asyncio.gather(looks.look(tasks_alone=True), looks.look(), looks.look(tasks_alone=True))
        await asyncio.sleep(0.5)
        await asyncio.gather(looks.look(tasks_alone=True), looks.look(tasks_alone=True))
        await first
        await asyncio.gather(looks.look(), looks.look(tasks_alone=True))

    assert calls_of(story, actual()) == ["again", "tasks", "again"]


def test_where_nothing_was_read_before_everything_is():
    async def story(looks: Looks) -> None:
        await looks.look(tasks_alone=True)
        await looks.look(tasks_alone=True)

    assert calls_of(story, None) == ["everything", "tasks"]
