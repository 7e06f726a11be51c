"""What a running controller answers to those who step in."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.adapters.metrics import Metrics, Remembered
from reconciler.controller.loop import answers as loop_answers
from reconciler.controller.loop.answers import Answers
from reconciler.controller.loop.state_records import RequestKind
from reconciler.gitops.state import Suspension
from reconciler.model.errors import ErrorCode, SwarmctlError
from tests.lab.git_servers import Repository
from tests.unit.controller.loop.shell import NAME, Shell, stack, swarm, until


def answers_of(shell: Shell) -> Answers:
    now = shell.leader.clock.now
    return Answers("prod", shell.leader, Metrics(lambda: Remembered(now(), NAME)), clock_now=now)


def applied(shell: Shell) -> str:
    found = shell.state().scope("web").applied
    return found.commit if found else ""


async def test_the_last_good_commit_is_the_one_before_what_failed_or_runs(shell, repository):
    shell.timeout_s = 0.5
    async with shell.leading():
        answers = answers_of(shell)
        first = await until(lambda: applied(shell), "the first commit is applied")
        with pytest.raises(SwarmctlError, match="no earlier good commit"):
            await answers.rollback("web", "", "me")
        repository.commit("never runs", stacks__web_DOT_yaml=stack(3))
        shell.leader.wake("webhook")
        await until(lambda: shell.state().scope("web").attempt, "the second commit has failed")
        assert await answers.rollback("web", "", "me") == first
        await until(lambda: not shell.memory.requests("infra"), "the rollback has ended")
        with pytest.raises(SwarmctlError, match="no earlier good commit"):
            await answers.rollback("web", "", "me")  # it is that now, and nothing was before it


async def test_a_stack_that_was_put_back_is_shown_so_and_goes_further_back_the_next_time(shell, repository):
    async with shell.leading():
        answers = answers_of(shell)
        commits = []
        for image in ("nginx:1", "nginx:2", "nginx:3"):
            commits.append(repository.commit(image, stacks__web_DOT_yaml=stack(0, image)))
            shell.leader.wake("webhook")
            await until(lambda: applied(shell) == commits[-1], "the commit is applied")
        for _ in range(2):
            commits.pop()
            assert await answers.rollback("web", "", "me") == commits[-1]
            await until(lambda: applied(shell) == commits[-1], "the stack was put back")
            traced = await answers.trace("web_api")
            assert (traced.commit, traced.author) == (commits[-1], "Ada <ada@example.org>")
        service = (await shell.cluster.observe()).services[0]
        assert service.spec["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:1"


@pytest.mark.parametrize("scope", ["*", "(cluster)"])
async def test_only_a_stack_is_put_back(shell, scope):
    async with shell.leading():
        await until(lambda: applied(shell), "the commit is applied")
        with pytest.raises(SwarmctlError) as refused:
            await answers_of(shell).rollback(scope, "a" * 40, "me")
        assert refused.value.code is ErrorCode.API_REQUEST_INVALID
        assert not shell.state().suspensions


async def test_who_pages_through_events_misses_none(shell):
    async with shell.leading():
        answers = answers_of(shell)
        await until(lambda: applied(shell), "the commit is applied")
        every = [one.number for one in shell.memory.events()]
        assert len(every) > 3
        assert [one.number for one in await answers.events(None, 0, 2)] == every[-2:]
        seen = every[0]
        paged = [seen]
        while found := await answers.events(None, seen, 2):
            paged += [one.number for one in found]
            seen = paged[-1]
        assert paged[: len(every)] == every


async def test_a_stack_is_not_said_to_be_resumed_while_everything_is_suspended(shell):
    async with shell.leading():
        answers = answers_of(shell)
        await until(lambda: applied(shell), "the commit is applied")
        await answers.suspend(Suspension("web", answers.now(), "me"))
        await answers.suspend(Suspension("*", answers.now(), "me"))
        with pytest.raises(SwarmctlError, match="everything is"):
            await answers.resume("web", "me")
        assert set(shell.state().suspensions) == {"*", "web"}
        for scope in ("*", "web"):
            await answers.resume(scope, "me")
        assert not shell.state().suspensions


async def test_a_node_is_no_stack_that_could_be_left_alone(shell):
    async with shell.leading():
        answers = answers_of(shell)
        await until(lambda: [one for one in shell.state().scopes if one.startswith("node/")], "the nodes are known")
        node = next(one for one in shell.state().scopes if one.startswith("node/"))
        for asked in (
            answers.suspend(Suspension(node, answers.now(), "me")),
            answers.sync(frozenset({node}), "me"),
            answers.rollback(node, "a" * 40, "me"),
        ):
            with pytest.raises(SwarmctlError, match="There is no stack"):
                await asked


async def test_a_cluster_that_hangs_is_told_as_that_and_shown_by_the_pass_that_waits_for_it(shell, monkeypatch):
    monkeypatch.setattr(loop_answers, "CLUSTER_WAIT_S", 0.2)
    async with shell.leading():
        answers = answers_of(shell)
        await until(lambda: applied(shell), "the commit is applied")
        monkeypatch.setattr(type(shell.cluster), "observe", lambda *_: asyncio.Event().wait())
        for _ in range(2):
            with pytest.raises(SwarmctlError) as refused:
                await answers.trace("web_api")
            assert refused.value.code is ErrorCode.ENGINE_UNREACHABLE
        shell.leader.wake("sync")
        began = await until(lambda: answers.overview().passing.get("infra"), "a pass is under way")
        assert began <= answers.now()


async def test_a_name_that_two_sources_have_is_refused_and_can_be_told_apart(shell, repository, tmp_path):
    other = Repository.make(tmp_path / "other", "shops")
    other.commit("own", swarm_DOT_yaml=swarm("shops"), stacks__own_DOT_yaml=stack(0))
    shell.repositories["shops"] = other
    async with shell.leading():
        answers = answers_of(shell)
        await until(lambda: applied(shell), "the stack is that of the first source")
        # All of one source, so that the two do not undo each other's work.
        await answers.suspend(Suspension("shops/*", shell.leader.clock.now(), "me"))
        other.commit("theirs", stacks__web_DOT_yaml=stack(0))
        await until(lambda: "web" in shell.state("shops").scopes, "the other source asks for one of that name")
        asked = [
            answers.rollback("web", "a" * 40, "me"),
            answers.suspend(Suspension("web", shell.leader.clock.now(), "me")),
            answers.resume("web", "me"),
            answers.sync(frozenset({"own", "web"}), "me"),
            answers.history("web", 10),
            answers.events("web", 0, 10),
        ]
        for one in asked:
            with pytest.raises(SwarmctlError) as refused:
                await one
            assert refused.value.code is ErrorCode.STACK_AMBIGUOUS
            assert "infra/web, shops/web" in str(refused.value)
        asked_for = {one.what for name in ("infra", "shops") for one in shell.memory.requests(name).values()}
        assert asked_for <= {RequestKind.LOOK}, "what the suspension asks for, and nothing else"
        assert (set(shell.state("infra").suspensions), set(shell.state("shops").suspensions)) == (set(), {"*"})
        await answers.suspend(Suspension("shops/web", shell.leader.clock.now(), "me"))
        assert (set(shell.state("infra").suspensions), set(shell.state("shops").suspensions)) == (set(), {"*", "web"})
        with pytest.raises(SwarmctlError, match="because everything is"):
            await answers.resume("shops/web", "me")
        assert [one.subject for one in await answers.history("infra/web", 10)] == ["first"]
        assert {one.source for one in await answers.events("shops/web", 0, 50)} <= {"", "shops"}
        first, again = applied(shell), repository.commit("again", stacks__web_DOT_yaml=stack(0, "nginx:1.26"))
        await answers.sync(frozenset({"infra/web"}), "me")
        await until(lambda: applied(shell) == again, "the named one is brought to what Git asks for")
        assert await answers.rollback("infra/web", "", "me") == first
        await until(lambda: applied(shell) == first, "the named one is put back")
        assert set(shell.state("infra").suspensions) == {"web"}
        await answers.resume("infra/web", "me")
        assert not shell.state("infra").suspensions
        traced = await answers.trace("web_api")
        assert traced.source == "infra", "its label says so, whichever source comes first"
        assert (await answers.trace("shops/web_api")).source == "shops"
        with pytest.raises(SwarmctlError, match="infra does not ask for service own_api"):
            await answers.trace("infra/own_api")
        with pytest.raises(SwarmctlError, match="There is no stack infra/own"):
            await answers.suspend(Suspension("infra/own", shell.leader.clock.now(), "me"))
        await answers.suspend(Suspension("own", shell.leader.clock.now(), "me"))
        assert set(shell.state("shops").suspensions) == {"*", "web", "own"}, "a name of one source needs no source"
