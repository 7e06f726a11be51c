"""Looks beside passes: what a pass waits for, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from reconciler.controller.loop import looking as lookings
from reconciler.controller.loop.following import Following
from reconciler.controller.loop.looking import Looking
from reconciler.controller.loop.wakeups import FETCHED, Wakeups
from reconciler.model.sources import SourceStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KNOWN = SourceStatus("infra")


@dataclass
class SlowFollowing:
    """Looks that end when a test lets them: `answers` are taken from."""

    answers: asyncio.Queue[SourceStatus | Exception] = field(default_factory=asyncio.Queue)
    looks: list[tuple[SourceStatus, bool]] = field(default_factory=list)
    look_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        return self.look_at is None or now >= self.look_at

    async def look(self, status: SourceStatus, *, accept_rewrite: bool) -> SourceStatus:
        self.looks.append((status, accept_rewrite))
        answer = await self.answers.get()
        self.look_at = NOW + timedelta(minutes=1)
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def looked_at(following: SlowFollowing) -> AsyncIterator[tuple[Looking, Wakeups]]:
    wakeups = Wakeups()
    looking = Looking(cast(Following, following), wakeups)
    running = asyncio.create_task(looking.run())
    yield looking, wakeups
    running.cancel()
    await asyncio.wait({running})


def status(failures: int) -> SourceStatus:
    return SourceStatus("infra", failures=failures)


async def test_a_look_that_ends_soon_belongs_to_the_pass_that_asked_for_it() -> None:
    following = SlowFollowing()
    async with looked_at(following) as (looking, wakeups):
        assert looking.is_due(NOW)
        looking.ask(KNOWN, accept_rewrite=False)
        following.answers.put_nowait(status(1))
        assert await looking.found() == status(1)
        assert await looking.found() is None
        assert looking.next_at == NOW + timedelta(minutes=1)
        assert await wakeups.next(0.0) == ("interval",)


async def test_a_look_that_takes_long_holds_no_pass_and_wakes_one_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookings, "LOOK_PATIENCE_S", 0.01)
    following = SlowFollowing()
    async with looked_at(following) as (looking, wakeups):
        looking.ask(KNOWN, accept_rewrite=False)
        assert await looking.found() is None
        assert (looking.is_under_way, looking.is_due(NOW), looking.next_at) == (True, False, None)
        following.answers.put_nowait(status(1))
        assert await wakeups.next(20.0) == (FETCHED,)
        assert await looking.found() == status(1)


async def test_whatever_is_asked_for_during_a_look_is_one_look_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookings, "LOOK_PATIENCE_S", 0.01)
    following = SlowFollowing()
    async with looked_at(following) as (looking, wakeups):
        looking.ask(KNOWN, accept_rewrite=False)
        assert await looking.found() is None
        for accept_rewrite in (False, True, False):
            looking.ask(KNOWN, accept_rewrite=accept_rewrite)
        following.answers.put_nowait(status(1))
        following.answers.put_nowait(status(2))
        async with asyncio.timeout(60):
            while looking.is_under_way:
                await wakeups.next(20.0)
        assert await looking.found() == status(2)
        # It goes on from what the first one found, and accepts what one of them accepted.
        assert following.looks == [(KNOWN, False), (status(1), True)]


async def test_a_bug_in_a_look_is_the_passes_and_ends_no_further_look() -> None:
    following = SlowFollowing()
    async with looked_at(following) as (looking, _):
        looking.ask(KNOWN, accept_rewrite=False)
        following.answers.put_nowait(ValueError("a bug"))
        with pytest.raises(ValueError, match="a bug"):
            await looking.found()
        looking.ask(KNOWN, accept_rewrite=False)
        following.answers.put_nowait(status(1))
        assert await looking.found() == status(1)
