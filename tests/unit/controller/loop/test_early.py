"""What is told of one stack while others of its apply are awaited, and which sources are looked at when."""

from __future__ import annotations

import pytest

from reconciler.controller import pace
from reconciler.controller.loop.leader import Leader
from reconciler.controller.loop.state_records import Request, RequestKind
from reconciler.gitops.patience import JITTER
from reconciler.model.alerts import AlertKind
from reconciler.model.errors import ErrorCode
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.lab.git_servers import Repository
from tests.unit.controller.loop.shell import Shell, stack, swarm, until


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.routes = {"chat": frozenset({AlertKind.FAILED})}
    return shell


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "OPEN_PAUSE_S", 0.05)


def told(shell: Shell) -> list[str]:
    """What people were told of failures, as events have it."""
    return [one.message.split(":")[0] for one in shell.memory.events() if one.message.startswith("failed ")]


def why(shell: Shell, scope: str) -> str:
    return next((one.reason.value for one in shell.state().scope(scope).conditions), "")


def entries(shell: Shell) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(one.subject, one.scopes, tuple(one.failed)) for one in shell.memory.history("infra")]


NEEDS = "{stacks: [{path: stacks/web.yaml}, {path: stacks/db.yaml}, {path: stacks/late.yaml, dependsOn: [web]}], pol"


async def test_a_stack_that_fails_is_told_once_while_another_of_its_apply_is_awaited(shell, repository):
    shell.rolled_back = {"db_api"}
    three = {"stacks__web_DOT_yaml": stack(3), "stacks__db_DOT_yaml": stack(2), "stacks__late_DOT_yaml": stack(0)}
    repository.commit("three", swarm_DOT_yaml=swarm("prod").replace("{pol", NEEDS), **three)
    async with shell.leading():
        await until(lambda: "failed opened, db" in told(shell), "people are told of the one")
        assert (why(shell, "db"), why(shell, "web")) == ("tasks-failing", "applying")
        assert set(shell.state().begun) == {"web", "late"}
        assert entries(shell) == [("three", ("db",), ("db",))]
        assert shell.state().scope("db").attempt.code is ErrorCode.ROLLED_BACK
        assert [one.alert.subject for one in shell.memory.outbox().pending.values()] == ["db"]
    # Whoever leads next awaits the other, and tells nothing twice.
    async with shell.leading():
        await until(lambda: shell.leader.last_pass and why(shell, "web") == "applying", "the other is awaited")
        shell.rolled_back = {"web_api", "db_api"}
        await until(lambda: "failed opened, web" in told(shell), "it fails, too")
        assert ("three", ("web",), ("web",)) in entries(shell)
        shell.rolled_back = set()
        repository.commit("mended", stacks__db_DOT_yaml=stack(0), stacks__web_DOT_yaml=stack(0))
        await until(lambda: why(shell, "late") == "converged", "all are mended, and what had to wait is there")
        ends = ["failed recovered, db", "failed recovered, web"]
        await until(lambda: set(ends) <= set(told(shell)), "which is told")
        assert sorted(told(shell)) == ["failed opened, db", "failed opened, web", *ends]
        assert [one for one in entries(shell) if "db" in one[1] and one[2]] == [("three", ("db",), ("db",))]


async def test_what_one_source_is_asked_for_has_no_other_looked_at_and_each_has_a_time_of_its_own(
    tmp_path, monkeypatch
):
    repositories = {}
    for number in range(5):
        repositories[f"s{number}"] = made = Repository.make(tmp_path / f"s{number}")
        made.commit("first", swarm_DOT_yaml=swarm(f"s{number}"))
    shell = Shell(tmp_path / "data", await a_quiet_swarm(), repositories)
    shell.interval_s = 1000.0
    woken: list[tuple[str, ...]] = []
    wake = Leader.wake

    def noting(leader: Leader, cause: str, *sources: str) -> None:
        woken.append((cause, *sources))
        wake(leader, cause, *sources)

    monkeypatch.setattr(Leader, "wake", noting)
    async with shell.leading():
        following = {one.source.spec.name: one for one in shell.leader.followings}
        await until(lambda: all(one.look_at for one in following.values()), "all are looked at")
        seconds = sorted(one.look_at.timestamp() for one in following.values())
        assert seconds[-1] - seconds[0] > 0.01 * JITTER * shell.interval_s, "they looked at once, and will not again"
        await until(lambda: ("sync",) in woken, "what is asked from now on is heard")
        due = following["s3"].look_at
        await shell.memory.ask([Request("s3", "*", RequestKind.LOOK, "a forge", shell.leader.clock.now())])
        await until(lambda: not shell.memory.requests("s3") and following["s3"].look_at != due, "it is looked at")
        assert [one for one in woken if one[0] == "sync"] == [("sync",), ("sync", "s3")]


async def test_the_history_counts_the_writes_that_were_made_though_their_stack_failed_in_a_wave(shell, repository):
    shell.rolled_back = {"web_api"}
    files = {"stacks__web_DOT_yaml": stack(1), "stacks__db_DOT_yaml": stack(0), "stacks__late_DOT_yaml": stack(0)}
    repository.commit("three", swarm_DOT_yaml=swarm("prod").replace("{pol", NEEDS), **files)
    async with shell.leading():
        await until(lambda: "failed opened, web" in told(shell), "the one that another depends on has failed")
        (entry,) = [one for one in shell.memory.history("infra") if "web" in one.failed]
        sent = [name for name in shell.sent if name.startswith("web_")]
        assert len(sent) >= 2, "its network and its service"
        assert entry.actions == sum(
            len([name for name in shell.sent if name.startswith(f"{one}_")]) for one in entry.scopes
        )


async def test_the_history_counts_what_was_sent_of_an_apply_that_a_newer_commit_ends(shell, repository):
    files = {"stacks__web_DOT_yaml": stack(2), "stacks__db_DOT_yaml": stack(0), "stacks__late_DOT_yaml": stack(0)}
    repository.commit("first", swarm_DOT_yaml=swarm("prod").replace("{pol", NEEDS), **files)
    async with shell.leading():
        await until(lambda: "web_api" in shell.sent and why(shell, "late") == "applying", "web is awaited")
        await until(lambda: len([one for one in shell.sent if one.startswith("db_")]) == 2, "db is written")
        repository.commit("second", stacks__web_DOT_yaml=stack(0), stacks__late_DOT_yaml=stack(0, "nginx:1.26"))
        await until(lambda: why(shell, "late") == "converged", "the newer one has come")
        left = [one for one in shell.memory.history("infra") if one.subject == "first" and one.failed]
        written = {"web": 2, "db": 2, "late": 1}  # a network and a service; of late the network only
        assert left
        assert [one.actions for one in left] == [sum(written[name] for name in one.scopes) for one in left]
