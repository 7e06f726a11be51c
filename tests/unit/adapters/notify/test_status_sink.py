"""Commit statuses on their way to a forge, through the same queue as alerts."""

from __future__ import annotations

import pytest

from reconciler.adapters.notify.outlet import NotSent, Outlet
from reconciler.adapters.notify.status_sink import StatusSink
from reconciler.model.forges import CommitStatus, ForgeAddress, ForgeName, StatusState
from tests.fakes.forge import REPOSITORY, TOKEN, Forge
from tests.unit.adapters.notify.test_outlet import FAST, until


def status(state: StatusState, commit: str = "a") -> CommitStatus:
    return CommitStatus(commit * 40, state, "x", "swarmctl/prod")


@pytest.mark.parametrize("name", list(ForgeName))
async def test_the_newest_status_of_a_commit_is_what_the_forge_gets(name: ForgeName) -> None:
    import asyncio

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
