"""What a look has found is not lost with the pass that could not write it down."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.adapters.metrics import Metrics
from reconciler.controller.loop import following
from reconciler.controller.loop.leader import Leader
from reconciler.controller.loop.state_records import Memory, Request, RequestKind
from reconciler.gitops.results import HistoryEntry
from reconciler.gitops.state import LoopState
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.lab.git_servers import Repository
from tests.unit.controller.loop.shell import Shell, stack, swarm, until


async def test_a_commit_that_could_not_be_written_down_is_not_waited_for_until_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository.make(tmp_path)
    repository.commit("first", swarm_DOT_yaml=swarm("prod"), stacks__web_DOT_yaml=stack(0))
    shell = Shell(tmp_path / "data", await a_quiet_swarm(), {"infra": repository})
    monkeypatch.setattr(following, "next_look", lambda status, spec, now, looker: now + timedelta(days=1))
    write, failures = Memory.write, 1

    async def failing(memory: Memory, before: LoopState, after: LoopState, *rest: int, **more: object) -> bool:
        nonlocal failures
        if failures and before.source != after.source and before.source.in_force is not None:
            failures -= 1
            raise SwarmctlError(ErrorCode.RAFT_OVERLOADED, "Too much waits.", passing=True)
        return await write(memory, before, after, *rest, **more)  # type: ignore[arg-type]

    async def nobody_asks(_: Leader) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Memory, "write", failing)
    monkeypatch.setattr(Leader, "_requests", nobody_asks)  # it wakes one look more, soon after the first
    async with shell.leading():
        await until(lambda: shell.state().source.in_force, "the first commit is in force")
        second = repository.commit("second", stacks__web_DOT_yaml=stack(0, "nginx:1.26"))
        shell.leader.wake("webhook")
        await until(lambda: shell.state().source.in_force.commit == second, "the second commit is in force")
    assert failures == 0
    meters = shell.leader.meters
    assert isinstance(meters, Metrics)
    assert b'swarmctl_passes_total{outcome="failed"} 1.0' in meters.exposition()[0]


async def test_a_request_is_done_once_also_where_that_is_written_down_again(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data", await a_quiet_swarm(), {})
    async with shell.leading():
        await until(lambda: shell.node.standing.epoch, "it leads")
        now, epoch = shell.leader.clock.now(), shell.node.standing.epoch
        await shell.memory.ask([Request("infra", "web", RequestKind.SYNC, "", now)])
        done, state = shell.memory.requests("infra"), shell.state()
        assert await shell.memory.write(state, state, epoch, done=done)
        entry = HistoryEntry(now, "c", "", "", ("web",), 1, {})
        assert await shell.memory.write(state, state, epoch, entry=entry, done=done)
        assert (shell.memory.requests("infra"), len(shell.memory.history("infra"))) == ({}, 1)
