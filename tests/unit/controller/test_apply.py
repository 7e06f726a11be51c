"""Carrying a plan out: compare-and-swap, bounded retries, and a failure that holds back only what depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.cli.conclusion import conclude
from reconciler.cli.terminal import Terminal
from reconciler.controller import run
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.convergence import Outcome, Waiting
from reconciler.controller.finishing import services_to_await
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.desired import DesiredState, Policy, Stack
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Plan, TaskEffect
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult, Assessment, Verdict
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.unit.controller.faulty_cluster import FaultyCluster
from tests.unit.planning.builders import (
    HERE,
    a_node,
    actual,
    content_spec,
    desired,
    network_spec,
    observed,
    running_tasks,
    service_spec,
    wanted,
)


def two_stacks(**web: Any) -> DesiredState:
    """Stack web on its network, and stack solo, which has nothing to do with it."""
    solo = service_spec("solo_app", stack="solo")
    solo["TaskTemplate"].pop("Networks")
    return desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SERVICE, service_spec(**web)),
        wanted(Kind.SERVICE, solo, stack="solo"),
        stacks=(Stack("web", "w", (), HERE), Stack("solo", "s", (), HERE)),
    )


async def planned_for(cluster: EmbeddedCluster, state: DesiredState):
    actual = await cluster.observe()
    return plan(state, actual), actual


async def carry_out(cluster: EmbeddedCluster, made: Plan, actual) -> ApplyResult:
    return await apply(made, actual, cluster, ApplyOptions(wait=False, parallel=2), lambda step: None)


def endings(result: ApplyResult) -> dict[str, str]:
    return {
        one.action.id: one.status.value if one.problem is None else f"{one.status.value}: {one.problem.code.value}"
        for one in result.actions
    }


async def deployed() -> EmbeddedCluster:
    cluster = await a_quiet_swarm()
    result = await carry_out(cluster, *await planned_for(cluster, two_stacks()))
    assert result.count(ActionStatus.DONE) == 3
    return cluster


async def live(cluster: EmbeddedCluster, name: str):
    return (await cluster.observe()).by_name(Kind.SERVICE)[name]


async def test_a_version_that_moved_under_an_equal_spec_is_tried_again():
    cluster = await deployed()
    made, actual = await planned_for(cluster, two_stacks(replicas=5))
    service = await live(cluster, "web_api")
    await cluster.update(Kind.SERVICE, service.id, service.version, service.spec)
    assert endings(await carry_out(cluster, made, actual)) == {"service.web_api": "done"}
    assert (await live(cluster, "web_api")).spec["Mode"]["Replicated"]["Replicas"] == 5


async def test_somebody_elses_change_is_never_overwritten():
    cluster = await deployed()
    made, actual = await planned_for(cluster, two_stacks(replicas=5))
    service = await live(cluster, "web_api")
    theirs = {**service.spec, "Mode": {"Replicated": {"Replicas": 7}}}
    await cluster.update(Kind.SERVICE, service.id, service.version, theirs)
    assert endings(await carry_out(cluster, made, actual)) == {"service.web_api": "failed: stale-version"}
    assert (await live(cluster, "web_api")).spec["Mode"]["Replicated"]["Replicas"] == 7


async def test_a_failure_holds_back_only_what_depends_on_it():
    cluster = await a_quiet_swarm()
    made, actual = await planned_for(cluster, two_stacks())
    await cluster.create(Kind.NETWORK, network_spec())
    assert endings(await carry_out(cluster, made, actual)) == {
        "network.web_default": "failed: name-conflict",
        "service.web_api": "skipped: apply-failed",
        "service.solo_app": "done",
    }


async def test_what_a_service_printed_last_is_told_with_it_also_where_others_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    async def fails(_waiting: Waiting, services: Collection[str], _updated: Collection[str]) -> Outcome:
        [name] = services
        return Outcome(
            (Assessment(name, Verdict.FAILING, 0, 1, "exit 3", log=("the cat", "the key")),), timed_out=False
        )

    monkeypatch.setattr(run, "await_convergence", fails)
    cluster = await a_quiet_swarm()
    state = replace(two_stacks(), stacks=(Stack("web", "w", (), HERE), Stack("solo", "s", ("web",), HERE)))
    made, actual = await planned_for(cluster, state)
    result = await apply(made, actual, cluster, ApplyOptions(wait=True), lambda step: None)
    assert endings(result)["service.web_api"] == "failed: tasks-failing"
    assert conclude(Terminal(color=False), result) == 6
    told = capsys.readouterr().err
    assert told.index("why:  exit 3") < told.index("log:  the cat") < told.index("log:  the key")


async def test_what_is_gone_already_counts_as_removed():
    cluster = await deployed()
    state = two_stacks()
    solo = [one for one in state.objects if one.stack == "solo"]
    without_web = desired(*solo, stacks=state.stacks, policy=Policy(prune=True, max_delete_percent=100))
    made, actual = await planned_for(cluster, without_web)
    await cluster.remove(Kind.SERVICE, (await live(cluster, "web_api")).id)
    assert endings(await carry_out(cluster, made, actual)) == {
        "service.web_api": "done",
        "network.web_default": "done",
    }
    assert (await planned_for(cluster, without_web))[0].is_empty


async def test_ids_of_what_the_plan_itself_creates_are_filled_in():
    cluster = await a_quiet_swarm()
    spec = service_spec(
        Secrets=[{"File": {"Name": "key"}, "SecretName": "web_key"}],
        Configs=[{"File": {"Name": "/app"}, "ConfigName": "web_app"}],
    )
    state = desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SECRET, content_spec("web_key", "s")),
        wanted(Kind.CONFIG, content_spec("web_app", "c")),
        wanted(Kind.SERVICE, spec),
    )
    result = await carry_out(cluster, *await planned_for(cluster, state))
    assert result.count(ActionStatus.DONE) == 4
    actual = await cluster.observe()
    container = (await live(cluster, "web_api")).spec["TaskTemplate"]["ContainerSpec"]
    assert container["Secrets"][0]["SecretID"] == actual.secrets[0].id
    assert container["Configs"][0]["ConfigID"] == actual.configs[0].id


async def test_a_plan_that_does_nothing_writes_nothing():
    cluster = await deployed()
    before = {one.id: one.version for one in (await cluster.observe()).services}
    made, actual = await planned_for(cluster, two_stacks())
    assert made.is_empty
    await carry_out(cluster, made, actual)
    assert {one.id: one.version for one in (await cluster.observe()).services} == before


async def test_a_change_that_the_daemon_refuses_is_told_with_its_own_words():
    cluster = await a_quiet_swarm()
    state = two_stacks(Mounts=[{"Target": "/d", "Type": "volume"}, {"Target": "/d", "Type": "volume"}])
    result = await carry_out(cluster, *await planned_for(cluster, state))
    problem = next(one.problem for one in result.actions if one.action.name == "web_api")
    assert problem.code is ErrorCode.REQUEST_REFUSED
    assert "duplicate mount point" in problem.why


async def test_what_an_earlier_apply_left_on_its_way_is_awaited_too():
    """Nothing of the quiet swarm ever runs: both services are still on their way."""
    cluster = await deployed()
    for state, moved in ((two_stacks(), ()), (two_stacks(replicas=5), ("web_api",))):
        made, actual = await planned_for(cluster, state)
        assert tuple(action.name for action in made.actions) == moved
        done = tuple(ActionProgress(action, ActionStatus.DONE) for action in made.actions)
        assert set(services_to_await(made, actual, done)) == {"web_api", "solo_app"}
        failed = tuple(ActionProgress(action, ActionStatus.FAILED) for action in made.actions)
        assert set(services_to_await(made, actual, failed)) == {"web_api", "solo_app"} - set(moved)


def test_of_what_a_drain_moves_a_service_of_others_is_awaited_unless_it_was_no_better_before():
    specs = {name: service_spec(name, replicas=1) for name in ("web_api", "else_well", "else_broken")}
    services = {name: observed(Kind.SERVICE, spec) for name, spec in specs.items()}
    tasks = [task for name in ("web_api", "else_well") for task in running_tasks(services[name])]
    cluster = actual(*services.values(), a_node("n1"), tasks=tuple(tasks))
    drain = Action("node.n1", ActionType.UPDATE, Kind.NODE, "n1", None, "", effect=TaskEffect.MOVE)
    made = Plan("main", None, "unix:///x", (drain,), services=("web_api",))
    awaited = services_to_await(made, cluster, (ActionProgress(drain, ActionStatus.DONE),))
    assert awaited == ("web_api", "else_well")


async def test_an_interrupted_apply_lets_the_write_under_way_end_and_begins_no_other():
    cluster = await a_quiet_swarm()
    begun = asyncio.Event()
    steps: list[Any] = []

    class Slow(FaultyCluster):
        async def create(self, kind, spec, *, registry_auth=None):
            begun.set()
            await asyncio.sleep(0.05)
            return await super().create(kind, spec)

    made, actual = await planned_for(cluster, two_stacks())
    options = ApplyOptions(wait=True, parallel=1)
    applying = asyncio.create_task(apply(made, actual, Slow(cluster), options, steps.append))
    await begun.wait()
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    ended = [(step.action.id, step.status) for step in steps if step.status is not ActionStatus.RUNNING]
    assert ended == [(made.actions[0].id, ActionStatus.DONE)]
    now = await cluster.observe()
    assert len(now.networks) + len(now.services) == len(actual.networks) + 1
