"""The loop's shell while it leads: what it writes, what holds what, and what outlives it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest
from msgspec.structs import replace

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.metrics import Metrics, Remembered
from reconciler.adapters.notify.outlet import OutletLimits
from reconciler.adapters.notify.status_teller import StatusTeller
from reconciler.controller.loop import applies, laggards, one_pass
from reconciler.controller.loop.answers import Answers
from reconciler.controller.loop.fenced import FencedCluster
from reconciler.controller.loop.state_records import HISTORY_MAX, REQUESTS_MAX, Request, RequestKind
from reconciler.gitops.decide import decide
from reconciler.gitops.look import CLUSTER_FAILURES_MAX
from reconciler.gitops.overview import EventKind
from reconciler.gitops.results import HistoryEntry, suspended
from reconciler.gitops.state import Suspension
from reconciler.model.alerts import AlertKind
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.replication import Address, Member
from tests.lab.git_servers import Repository
from tests.unit.controller.loop.shell import Shell, stack, swarm, until


async def services(shell: Shell) -> dict[str, int]:
    found = (await shell.cluster.observe()).by_name(Kind.SERVICE)
    return {name: one.spec["Mode"]["Replicated"]["Replicas"] for name, one in found.items()}


def is_ready(shell: Shell, scope: str = "web", source: str = "infra") -> bool:
    return any(one.type.value == "Ready" and one.status for one in shell.state(source).scope(scope).conditions)


def is_reconciling(shell: Shell, scope: str = "web") -> bool:
    return any(one.type.value == "Reconciling" and one.status for one in shell.state().scope(scope).conditions)


def applied(shell: Shell, scope: str) -> str:
    found = shell.state().scope(scope).applied
    return found.commit if found else ""


async def test_a_converged_pass_writes_nothing_to_the_store_either(shell, tmp_path):
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        await asyncio.sleep(0)
        index, last = shell.node.tables.index, shell.leader.last_pass
        for _ in range(3):
            await until(partial(shell.has_passed_since, last), "another pass")
            last = shell.leader.last_pass
        assert shell.node.tables.index == index
        assert [entry.scopes for entry in shell.memory.history("infra")] == [("web",)]
    async with shell.leading():
        await until(lambda: shell.leader.last_pass, "a pass of the next life")
        assert [entry.scopes for entry in shell.memory.history("infra")] == [("web",)]
        assert is_ready(shell)


async def test_tasks_that_never_converge_do_not_hold_up_the_next_commit(shell, repository):
    broken = repository.commit("never runs: nothing makes tasks here", stacks__web_DOT_yaml=stack(3))
    async with shell.leading():
        await until(lambda: shell.written == [Kind.NETWORK, Kind.SERVICE], "the apply waits for tasks")
        repository.commit("mended", stacks__web_DOT_yaml=stack(0))
        await until(lambda: is_ready(shell), "the mended commit is applied")
        assert (await services(shell)) == {"web_api": 0}
        entries = shell.memory.history("infra")
        assert [bool(one.failed) for one in entries] == [True, False]
        assert entries[0].commit == broken


async def test_drift_is_told_and_put_back_while_an_apply_waits_for_tasks(shell, repository):
    db = "x-swarmctl: {rollback: stack}\n" + stack(0)
    repository.commit("two stacks", stacks__db_DOT_yaml=stack(0), stacks__vault_DOT_yaml=db)
    async with shell.leading():
        await until(lambda: is_ready(shell, "vault") and is_ready(shell, "db"), "all is well")
        repository.commit("never runs: nothing makes tasks here", stacks__web_DOT_yaml=stack(3))
        await until(lambda: is_reconciling(shell), "it is applied")
        async with asyncio.timeout(60):
            while (await services(shell))["web_api"] != 3:  # noqa: ASYNC110 - what is polled is not ours to signal
                await asyncio.sleep(0.02)
        await shell.scale("db_api", 7)
        await shell.scale("vault_api", 9)
        both = {"service.db_api", "service.vault_api"}
        told: list[str] = []

        def are_over() -> bool:
            told[:] = [one.message.split(":")[0] for one in shell.memory.events() if one.kind is EventKind.DRIFT]
            return {f"drift recovered, {name}" for name in both} <= set(told)

        await until(are_over, "both are put back, and told")
        assert await services(shell) == {"db_api": 0, "web_api": 3, "vault_api": 0}
        assert len(told) == 4
        assert is_reconciling(shell)
        brought = [(one.scopes, one.failed) for one in shell.memory.history("infra")[2:]]
        assert not [one for one in brought if "web" in one[0]], "nothing is known of it yet"


async def test_stacks_that_hang_hold_up_no_commit_for_another_and_are_awaited_still(shell, repository, monkeypatch):
    first = repository.commit("never runs", stacks__web_DOT_yaml=stack(3), stacks__db_DOT_yaml=stack(0))
    async with shell.leading():
        await until(lambda: shell.sent.count("web_api") == 1 and "db_api" in shell.sent, "it is written, and awaited")
        second = repository.commit("never runs either", stacks__vault_DOT_yaml=stack(2))
        await until(lambda: "vault_api" in shell.sent, "so is the next one")
        third = repository.commit("converges", stacks__db_DOT_yaml=stack(0, "nginx:2"))
        await until(lambda: applied(shell, "db") == third, "and one that converges at once")
        assert {scope: one.commit for scope, one in shell.state().begun.items()} == {"web": first, "vault": second}
        told = [(one.commit, one.scopes, dict(one.failed)) for one in shell.memory.history("infra")]
        assert told[-1] == (third, ("db",), {})
        assert not [one for one in told if {"web", "vault"} & set(one[1])]
        assert "Service web_api is awaited." in shell.state().scope("web").conditions[0].message
        mended = repository.commit("mended", stacks__web_DOT_yaml=stack(0))
        await until(lambda: applied(shell, "web") == mended, "what mends one of them takes its place")
        assert list(shell.state().begun) == ["vault"]
        assert [one.scopes for one in shell.memory.history("infra") if one.failed] == [("web",)]
    monkeypatch.setattr(applies, "RESUMED_MIN_S", 0.2)
    shell.timeout_s = 0.2
    async with shell.leading():
        await until(lambda: shell.state().scope("vault").attempt, "whoever leads next awaits it for as long as it may")
        entry = shell.memory.history("infra")[-1]
        assert (entry.commit, entry.scopes, list(entry.failed)) == (second, ("vault",), ["vault"])
        mended = repository.commit("mended as well", stacks__vault_DOT_yaml=stack(0))
        await until(lambda: applied(shell, "vault") == mended, "and goes on from there")
        await until(lambda: not shell.state().begun, "nothing is left open")


async def test_a_rollback_takes_the_place_of_what_its_stack_waits_for_and_waits_beside_the_passes(shell, repository):
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        good = shell.state().scope("web").applied.commit
        repository.commit("never runs", stacks__web_DOT_yaml=stack(3), stacks__db_DOT_yaml=stack(0))
        await until(lambda: is_reconciling(shell) and applied(shell, "web") == good, "it is awaited")
        now = shell.leader.clock.now()
        hold = Suspension("web", now, "me", "rolled back")
        asked = Request("infra", "web", RequestKind.ROLLBACK, "me", now, good)
        await shell.memory.ask([asked], lambda state: suspended(state, hold))
        await until(lambda: not shell.memory.requests("infra"), "the rollback has ended")
        assert (await services(shell))["web_api"] == 0
        entries = shell.memory.history("infra")
        assert [(one.commit, one.failed) for one in entries if one.subject == "rollback"] == [(good, {})]
        assert {"web": "It had not converged when a rollback came."} in [one.failed for one in entries]
        await until(lambda: applied(shell, "db"), "the other stack of that commit is brought about")


async def test_a_stack_that_others_wait_for_does_not_hold_up_the_commit_that_mends_it(shell, repository):
    ordered = swarm("prod").replace("{policy", "{stacks: [{path: stacks/web.yaml}, %s], policy")
    ordered %= "{path: stacks/late.yaml, dependsOn: [web]}"
    late = stack(0)
    repository.commit("never runs", swarm_DOT_yaml=ordered, stacks__web_DOT_yaml=stack(3), stacks__late_DOT_yaml=late)
    async with shell.leading():
        await until(lambda: Kind.SERVICE in shell.written, "the first stack is written, and awaited")
        repository.commit("mended", stacks__web_DOT_yaml=stack(0))
        await until(lambda: is_ready(shell, "late"), "both are applied")
        assert await services(shell) == {"late_api": 0, "web_api": 0}


async def test_a_source_that_fails_holds_no_other(shell, tmp_path):
    other = Repository.make(tmp_path / "other")
    other.commit("first", swarm_DOT_yaml=swarm("other"), stacks__db_DOT_yaml=stack(0))
    shell.repositories = {"gone": Repository(tmp_path / "gone", tmp_path / "gone"), "other": other}
    async with shell.leading():
        await until(lambda: is_ready(shell, "db", "other"), "the other source is applied")
        fault = await until(lambda: shell.state("gone").source.fault, "the fault is remembered")
        assert fault.code is ErrorCode.SOURCE_UNREACHABLE or fault.code is ErrorCode.REVISION_NOT_FOUND, fault


async def test_a_cluster_that_is_away_is_told_once_and_found_again(shell):
    away = True

    async def connect() -> None:
        if away:
            raise SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "The engine does not answer.")

    shell.connect = connect
    async with shell.leading():
        await until(lambda: "cluster" in shell.state().incidents, "people are told")
        away = False
        await until(lambda: is_ready(shell), "it goes on")
        told = [one.message for one in shell.memory.events() if "cluster" in one.message]
        assert sum("opened" in one for one in told) == 1
        assert sum("recovered" in one for one in told) == 1


async def test_a_look_at_a_cluster_that_hangs_counts_as_several(shell, monkeypatch):
    monkeypatch.setattr(one_pass, "HUNG_FOR_S", 0.01)
    failures = []

    def decide_noting(look, state, now):
        failures.append(look.cluster_failures)
        return decide(look, state, now)

    async def connect() -> None:
        await asyncio.sleep(0.05)
        raise SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "The engine does not answer.")

    monkeypatch.setattr(one_pass, "decide", decide_noting)
    shell.connect = connect
    async with shell.leading():
        await until(lambda: "cluster" in shell.state().incidents, "people are told")
        assert failures[0] > CLUSTER_FAILURES_MAX


async def test_what_is_asked_for_by_hand_reaches_the_loop_and_stays(shell, repository):
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        now = shell.leader.clock.now()
        hold = Suspension("web", now, "me", "because")
        await shell.memory.ask(
            [Request("infra", "web", RequestKind.LOOK, "me", now)], lambda state: suspended(state, hold)
        )
        repository.commit("scale", stacks__web_DOT_yaml=stack(0, "nginx:2"))
        await until(lambda: not shell.memory.requests("infra"), "the request is done")
        await until(lambda: not is_ready(shell), "it is suspended")
    async with shell.leading():
        await until(lambda: shell.leader.last_pass, "a pass of the next life")
        assert shell.state().suspensions["web"].reason == "because"
        assert len(shell.memory.history("infra")) == 1


async def test_alerts_that_one_leader_could_not_send_are_sent_by_the_next(shell):
    sent: list[str] = []
    deaf = True

    class Teller:
        def __init__(self, done):
            self.done = done

        def offer(self, waiting):
            for one in waiting:
                if not deaf:
                    sent.append(one.alert.kind.value)
                    self.done(one.id, "chat")

    @asynccontextmanager
    async def telling(done):
        yield Teller(done)

    shell.telling, shell.routes = telling, {"chat": frozenset({AlertKind.DEPLOYED})}
    async with shell.leading():
        await until(lambda: shell.memory.outbox().pending, "an alert waits")
    deaf = False
    async with shell.leading():
        await until(lambda: sent, "it is sent")
        await until(lambda: not shell.memory.outbox().pending, "it is out of the outbox")
    assert sent == ["deployed"]


async def test_a_forge_is_told_once_that_a_commit_is_what_the_cluster_is(shell, repository):
    sent: list[tuple[str, str]] = []

    class Forge:
        async def send(self, status):
            sent.append((status.commit, status.state.value))

    shell.forge_telling = lambda done: StatusTeller({"infra": Forge()}, done, OutletLimits(gap_s=0.0))
    commit = repository.git("rev-parse", "HEAD")
    for _ in range(2):
        async with shell.leading():
            await until(
                lambda: (commit, "success") in [(one.commit, one.state.value) for one in _posted(shell)], "posted"
            )
    assert sent.count((commit, "success")) == 1


def _posted(shell: Shell):
    return shell.memory.statuses_posted("infra").statuses


async def test_a_drift_that_lasts_is_told_once_however_many_passes_look_at_it(shell, repository):
    report = swarm("prod").replace("prune: true", "prune: true, drift: report")
    repository.commit("report drift", swarm_DOT_yaml=report)
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        await shell.scale("web_api", 5)
        await until(lambda: "service.web_api" in shell.state().drifts, "the drift is found")
        passes: set[datetime | None] = set()
        index = shell.node.tables.index
        while len(passes) < 20:
            shell.leader.wake("webhook")
            await until(lambda: shell.leader.last_pass not in passes, "a pass")
            passes.add(shell.leader.last_pass)
        assert shell.node.tables.index == index
        await shell.scale("web_api", 0)
        await until(lambda: not shell.state().drifts, "it is over")
        told = [one.message.partition(",")[0] for one in shell.memory.events() if one.kind is EventKind.DRIFT]
        assert told == ["drift opened", "drift recovered"]


async def test_a_join_token_that_is_too_old_is_made_anew_and_that_is_told(shell, repository):
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        before = dict((await shell.cluster.observe()).swarm.spec["Labels"])
        rotates = swarm("prod").replace("spec: {", "spec: {joinTokens: {worker: {rotateEvery: 1s}}, ")
        repository.commit("rotate", swarm_DOT_yaml=rotates)
        told = await until(lambda: [one for one in shell.memory.events() if "token" in one.message], "it is told")
        assert "worker" in told[0].message
        assert (await shell.cluster.observe()).swarm.spec["Labels"] != before


async def test_what_is_asked_for_while_nobody_can_do_it_is_bounded(shell):
    async def connect() -> None:
        raise SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "The engine does not answer.")

    shell.connect = connect
    async with shell.leading():
        await until(lambda: shell.leader.last_pass, "a pass")
        now = shell.leader.clock.now()
        for _ in range(3):
            await shell.memory.ask([Request("infra", "*", RequestKind.LOOK, "a forge", now)])
        assert len(shell.memory.requests("infra")) == 1
        many = [Request("infra", f"s{number}", RequestKind.SYNC, "", now) for number in range(REQUESTS_MAX - 1)]
        await shell.memory.ask(many)
        with pytest.raises(SwarmctlError) as refused:
            await shell.memory.ask([Request("infra", "*", RequestKind.SYNC, "", now)])
        assert refused.value.code is ErrorCode.API_OVERLOADED


async def test_history_keeps_the_newest_applies_only(shell):
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        state, epoch = shell.state(), shell.node.standing.epoch
        now = shell.leader.clock.now()
        for number in range(HISTORY_MAX + 3):
            entry = HistoryEntry(now, f"{number}", "", "", ("web",), 1, {})
            await shell.memory.write(state, state, epoch, entry=entry)
        commits = [one.commit for one in shell.memory.history("infra")]
        assert len(commits) == HISTORY_MAX
        assert commits[-1] == f"{HISTORY_MAX + 2}"


async def test_who_leads_no_more_writes_neither_to_the_cluster_nor_to_the_store(shell):
    async with shell.leading():
        await until(lambda: is_ready(shell), "the stack is ready")
        fenced = FencedCluster(shell.cluster, lambda: shell.node.may_write(1))
        found = (await shell.cluster.observe()).by_name(Kind.SERVICE)["web_api"]
        writes = [
            fenced.create(Kind.SERVICE, {"Name": "x"}),
            fenced.update(Kind.SERVICE, found.id, found.version, found.spec),
            fenced.remove(Kind.SERVICE, found.id),
            fenced.remove_volume("v"),
        ]
        for write in writes:
            with pytest.raises(SwarmctlError) as refused:
                await write
            assert refused.value.code is ErrorCode.FENCED
        assert (await fenced.observe()).by_name(Kind.SERVICE)["web_api"].version == found.version
        entry = HistoryEntry(shell.leader.clock.now(), "c", "", "", ("web",), 1, {})
        with pytest.raises(SwarmctlError) as refused:
            await shell.memory.write(shell.state(), shell.state(), 1, entry=entry)
        assert refused.value.code is ErrorCode.FENCED


async def test_a_controller_that_can_not_follow_is_written_down_told_and_shown_until_it_can(shell, monkeypatch):
    other = Member("node2", Address("10.0.0.2", 7946), voter=True, leader=False, behind=900, refuses="It is too new.")
    monkeypatch.setattr(laggards, "LOOK_S", 0.02)
    shell.routes = {"chat": frozenset({AlertKind.CONTROLLER})}
    async with shell.leading():
        answers = Answers(
            "prod", shell.leader, Metrics(lambda: Remembered(datetime.now(UTC), "alone")), clock_now=SystemClock().now
        )
        own = shell.node.members()[0]
        seen = [own, other]
        monkeypatch.setattr(shell.node, "members", lambda: tuple(seen))
        await until(shell.memory.laggards, "it is written down")
        (pending,) = shell.memory.outbox().pending.values()
        assert pending.alert.subject == "node2"
        seen[1] = replace(other, refuses="", behind=None)  # as a controller sees it that does not lead
        assert [one.trouble for one in answers.overview().members] == ["", "It is too new."], "all of them know it"
        seen[1] = replace(other, refuses="", behind=0)
        await until(lambda: not shell.memory.laggards(), "it has caught up")
        assert len([one for one in shell.memory.events() if "controller" in one.message]) == 2, "once each"
        assert answers.health().ready
        seen[0] = replace(own, refuses="It is too new.")
        assert (answers.health().ready, answers.health().why) == (False, "It is too new.")
