"""An atomic stack whose apply was interrupted: the next one brings it to its end, one way or the other."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.transactions import left_open, undo_label
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.desired import DesiredState, Policy, Stack
from reconciler.model.errors import ErrorCode
from reconciler.model.objects import Kind
from reconciler.model.plan import Plan
from reconciler.model.progress import ActionStatus, ApplyResult, ServicesProgress
from reconciler.planning.inventory import packed, recorded
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.unit.controller.faulty_cluster import FaultyCluster
from tests.unit.planning.builders import HERE, content_spec, desired, network_spec, service_spec, wanted

LABEL = undo_label("prod", "web")
NOW_OR_NEVER = ApplyOptions(timeout_s=0.0)
"""Nothing of the quiet swarm ever runs: what has tasks has failed at once, what has none has converged."""


def of_services(*specs, atomic: bool = True, **fields) -> DesiredState:
    stacks = (Stack("web", "stacks/web.yaml", (), HERE, atomic=atomic),)
    objects = [wanted(Kind.NETWORK, network_spec()), *(wanted(Kind.SERVICE, spec) for spec in specs)]
    policy = Policy(prune=True, max_delete_percent=100)
    return desired(*objects, *fields.pop("contents", ()), stacks=stacks, policy=policy, **fields)


def idle(name: str, image: str, **template):
    return service_spec(name, replicas=0, Image=image, **template)


GOOD = of_services(idle("web_a", "nginx:1"), idle("web_gone", "nginx:1"))
BAD = of_services(idle("web_a", "nginx:2"), service_spec("web_new"))
MENDED = of_services(idle("web_a", "nginx:2"), idle("web_new", "nginx:1"))


async def applied(cluster, state: DesiredState, options: ApplyOptions = NOW_OR_NEVER) -> tuple[Plan, ApplyResult]:
    before = await cluster.observe()
    made = plan(state, before)
    return made, await apply(made, before, cluster, options, lambda step: None)


async def interrupted(cluster, state: DesiredState) -> None:
    """Apply, and cancel that as soon as it waits for the tasks."""
    waits = asyncio.Event()

    def report(step: object) -> None:
        if isinstance(step, ServicesProgress):
            waits.set()

    before = await cluster.observe()
    applying = asyncio.create_task(apply(plan(state, before), before, cluster, ApplyOptions(), report))
    await waits.wait()
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying


async def images(cluster) -> dict[str, str]:
    services = (await cluster.observe()).services
    return {one.name: one.spec["TaskTemplate"]["ContainerSpec"]["Image"] for one in services}


async def swarm_labels(cluster) -> dict[str, str]:
    return (await cluster.observe()).swarm.labels


async def half_a_stack() -> EmbeddedCluster:
    cluster = await a_quiet_swarm()
    _, result = await applied(cluster, GOOD)
    assert result.undone == ()
    assert LABEL not in await swarm_labels(cluster), "it has converged"
    await interrupted(cluster, BAD)
    assert await images(cluster) == {"web_a": "nginx:2", "web_gone": "nginx:1", "web_new": "nginx:1.25"}
    before = left_open(plan(BAD, await cluster.observe()), await cluster.observe())["web"]
    assert set(before) == {"web_a", "web_gone", "web_new"}
    assert before["web_new"] is None
    return cluster


async def test_the_next_apply_puts_back_what_it_did_not_write_itself():
    cluster = await half_a_stack()
    good = {"web_a": "nginx:1", "web_gone": "nginx:1"}
    while (made := plan(BAD, await cluster.observe())).actions:
        await interrupted(cluster, BAD)
    assert made.is_empty, "a record is nothing to be done"
    _, result = await applied(cluster, BAD)
    (undone,) = result.undone
    assert (undone.stack, undone.cause.code) == ("web", ErrorCode.TIMED_OUT)
    assert {one.action.id for one in undone.actions if one.status is ActionStatus.DONE} == {
        "service.web_a (put back)",
        "service.web_gone (put back)",
        "service.web_new (put back)",
    }
    assert await images(cluster) == good
    now = await cluster.observe()
    assert LABEL not in now.swarm.labels
    assert {name for name in recorded(now, "prod") if name.startswith("service.")} == {
        "service.web_a",
        "service.web_gone",
    }
    assert plan(GOOD, now).is_empty


async def test_one_more_change_after_the_interruption_goes_back_to_the_last_good_spec():
    cluster = await half_a_stack()
    third = of_services(idle("web_a", "nginx:3"), service_spec("web_new", replicas=2))
    _, result = await applied(cluster, third)
    assert len(result.undone) == 1
    assert await images(cluster) == {"web_a": "nginx:1", "web_gone": "nginx:1"}


async def test_the_next_apply_that_converges_removes_the_record():
    cluster = await half_a_stack()
    _, result = await applied(cluster, MENDED)
    assert (result.undone, result.warnings) == ((), ())
    assert LABEL not in await swarm_labels(cluster)
    assert await images(cluster) == {"web_a": "nginx:2", "web_new": "nginx:1"}


async def test_what_is_as_it_should_be_and_without_a_record_is_written_nothing_of():
    cluster = await a_quiet_swarm()
    await applied(cluster, GOOD)
    watched = FaultyCluster(cluster)
    made, _ = await applied(watched, GOOD)
    assert made.is_empty
    assert set(watched.calls) == {"observe"}


@pytest.mark.parametrize(
    "broken",
    [
        "z1:nonsense",
        "by hand",
        packed(["web_a"]),
        packed({"web_a": 3}),
        packed({"web_a": {"Name": "another"}}),
        packed({"web_a": {"Name": "web_a", "TaskTemplate": {"Networks": "all"}}}),
        packed({"web_a": {"Name": "web_a", "TaskTemplate": {"ContainerSpec": {"Configs": [1]}}}}),
    ],
)
async def test_a_broken_record_counts_as_none(broken):
    cluster = await a_quiet_swarm()
    await applied(cluster, GOOD)
    swarm = await cluster.get(Kind.SWARM, "")
    spec = {**swarm.spec, "Labels": {**swarm.spec["Labels"], LABEL: broken}}
    await cluster.update(Kind.SWARM, swarm.id, swarm.version, spec)
    made, result = await applied(cluster, GOOD)
    assert made.is_empty
    assert (result.undone, result.lost) == ((), None)
    _, result = await applied(cluster, BAD)
    assert len(result.undone) == 1
    assert await images(cluster) == {"web_a": "nginx:1", "web_gone": "nginx:1"}
    assert LABEL not in await swarm_labels(cluster)


async def test_what_somebody_changed_after_the_plan_was_made_is_left_to_them():
    cluster = await half_a_stack()
    while plan(BAD, await cluster.observe()).actions:
        await interrupted(cluster, BAD)
    before = await cluster.observe()
    service = before.by_name(Kind.SERVICE)["web_a"]
    theirs = {**service.spec, "Mode": {"Replicated": {"Replicas": 9}}}
    await cluster.update(Kind.SERVICE, service.id, service.version, theirs)
    result = await apply(plan(BAD, before), before, cluster, NOW_OR_NEVER, lambda step: None)
    (undone,) = result.undone
    assert [one.action.name for one in undone.actions if one.status is ActionStatus.SKIPPED] == ["web_a"]
    assert (await cluster.observe()).by_name(Kind.SERVICE)["web_a"].spec == theirs


async def test_what_the_last_good_spec_needs_is_not_removed_before_it_is_known_whether_it_comes_back():
    """Swarm itself remembers one spec to roll back to, and two were interrupted here."""

    def uses(config: str, *others) -> DesiredState:
        reference = {"File": {"Name": "/app"}, "ConfigName": config}
        contents = [wanted(Kind.CONFIG, content_spec(config, config))]
        return of_services(idle("web_a", "nginx:1", Configs=[reference]), *others, contents=contents)

    cluster = await a_quiet_swarm()
    await applied(cluster, uses("web_one"))
    await interrupted(cluster, uses("web_two", service_spec("web_new")))
    await interrupted(cluster, uses("web_three", service_spec("web_new")))
    made, result = await applied(cluster, uses("web_three", service_spec("web_new")))
    assert {action.id for action in made.actions} == {"config.web_one"}
    assert [one.status for one in result.actions] == [ActionStatus.SKIPPED]
    assert all(one.status is ActionStatus.DONE for one in result.undone[0].actions)
    now = await cluster.observe()
    (config,) = now.by_name(Kind.SERVICE)["web_a"].spec["TaskTemplate"]["ContainerSpec"]["Configs"]
    assert config["ConfigID"] == now.by_name(Kind.CONFIG)["web_one"].id

    await interrupted(cluster, uses("web_two", service_spec("web_new")))
    await interrupted(cluster, uses("web_three", service_spec("web_new")))
    made, result = await applied(cluster, uses("web_three"))
    assert "config.web_one" in {one.action.id for one in result.actions if one.status is ActionStatus.DONE}
    assert result.undone == ()
    assert "web_one" not in (await cluster.observe()).by_name(Kind.CONFIG), "once all is well, it goes"


async def test_settings_of_the_swarm_in_the_same_plan_and_the_record_do_not_take_each_other_away():
    cluster = await a_quiet_swarm()
    await applied(cluster, GOOD)
    settings = {"Orchestration": {"TaskHistoryRetentionLimit": 3}}
    await interrupted(cluster, replace(BAD, settings=settings))
    spec = (await cluster.observe()).swarm.spec
    assert LABEL in spec["Labels"]
    assert spec["Orchestration"]["TaskHistoryRetentionLimit"] == 3


async def test_a_stack_that_is_atomic_no_more_goes_back_to_nothing():
    cluster = await half_a_stack()
    _, result = await applied(cluster, replace(BAD, stacks=(replace(BAD.stacks[0], atomic=False),)))
    assert result.undone == ()
    assert LABEL not in await swarm_labels(cluster)


async def test_without_waiting_nothing_is_judged_and_no_record_left():
    cluster = await a_quiet_swarm()
    await applied(cluster, GOOD)
    _, result = await applied(cluster, BAD, ApplyOptions(wait=False))
    assert result.undone == ()
    assert LABEL not in await swarm_labels(cluster)


def test_the_label_of_a_lone_stack_file_has_no_empty_part():
    assert undo_label("", "shop") == "io.swarmctl.undo.shop"
    assert undo_label("prod", "shop") == "io.swarmctl.undo.prod.shop"
