"""Commit statuses on their way to a forge, through the same queue as alerts."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from reconciler.adapters.notify.outlet import NotSent, Outlet
from reconciler.adapters.notify.status_sink import StatusSink
from reconciler.adapters.notify.status_teller import StatusTeller
from reconciler.gitops.commit_status import Posted, with_posted
from reconciler.model.forges import CommitStatus, ForgeAddress, ForgeName, StatusState
from tests.fakes.forge import REPOSITORY, TOKEN, Forge
from tests.unit.adapters.notify.test_outlet import FAST, until


def status(state: StatusState, commit: str = "a") -> CommitStatus:
    return CommitStatus(commit * 40, state, "x", "swarmctl/prod")


@pytest.mark.parametrize("name", list(ForgeName))
async def test_the_newest_status_of_a_commit_is_what_the_forge_gets(name: ForgeName) -> None:
    with Forge(name.value) as forge:
        sink = StatusSink(ForgeAddress(name, forge.url, REPOSITORY, TOKEN))
        outlet = Outlet[CommitStatus]("forge", sink.send, FAST)
        for number, one in enumerate(
            [status(StatusState.PENDING), status(StatusState.SUCCESS), status(StatusState.FAILURE, "b")]
        ):
            outlet.offer(str(number), one, sink.key(one))
        running = asyncio.create_task(outlet.run())
        await until(lambda: outlet.status.sent == 2)
        running.cancel()
        assert [one["commit"][0] for one in forge.statuses] == ["a", "b"]


async def test_a_token_that_is_refused_is_told_without_it() -> None:
    with Forge("github") as forge:
        wrong = "wr0ng-t0ken"
        with pytest.raises(NotSent) as raised:
            await StatusSink(ForgeAddress(ForgeName.GITHUB, forge.url, REPOSITORY, wrong)).send(
                status(StatusState.PENDING)
            )
        assert raised.value.refused
        assert wrong not in raised.value.why


class Recorder:
    """A forge that keeps what it is sent, and can be made to wait."""

    def __init__(self) -> None:
        self.got: list[CommitStatus] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, one: CommitStatus) -> None:
        await self.open.wait()
        self.got.append(one)


async def test_each_status_is_posted_once_by_however_many_passes_and_leaders() -> None:
    forge, posted = Recorder(), Posted("infra")
    pending, success = status(StatusState.PENDING), status(StatusState.SUCCESS)

    def remember(_: str, one: CommitStatus) -> None:
        nonlocal posted
        posted = with_posted(posted, one)

    def is_remembered(one: CommitStatus) -> bool:
        return posted.statuses == (one,)

    for wanted in (pending, success, success, pending, success):
        async with StatusTeller({"infra": forge}, remember, FAST) as teller:  # each time another leader
            for _ in range(10):
                teller.offer("infra", (wanted,), posted)
            teller.offer("unknown", (wanted,), posted)
            await until(partial(is_remembered, wanted))
    assert forge.got == [pending, success, pending, success]


async def test_what_is_overtaken_is_neither_posted_nor_remembered() -> None:
    forge = Recorder()
    remembered: list[CommitStatus] = []
    forge.open.clear()
    first, pending, success = status(StatusState.FAILURE, "b"), status(StatusState.PENDING), status(StatusState.SUCCESS)
    async with StatusTeller({"infra": forge}, lambda _, one: remembered.append(one), FAST) as teller:
        for one in (first, pending, success):
            teller.offer("infra", (one,), Posted("infra"))
            await asyncio.sleep(0)
        forge.open.set()
        await until(lambda: len(remembered) == 2)
        assert [one.name for one in teller.statuses] == ["commit-status/infra"]
    assert forge.got == remembered == [first, success]


def test_only_the_newest_commits_are_remembered() -> None:
    posted = Posted("infra")
    for number in range(20):
        posted = with_posted(posted, status(StatusState.SUCCESS, chr(ord("a") + number)))
    assert [one.commit[0] for one in posted.statuses] == list("mnopqrst")
