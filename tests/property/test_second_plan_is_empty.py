"""The first law: after a plan has been carried out, the next plan is empty, whatever the repository asks for."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

from hypothesis import given, settings

from reconciler.model.plan import Origin
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.property.repositories import carried_out, loaded, repositories

PASSES_MAX = 4


@settings(deadline=None, max_examples=120)
@given(repositories())
def test_a_second_plan_is_empty(tmp_path_factory: Any, files: dict[str, str]):
    folder = tmp_path_factory.mktemp("repository")

    async def story() -> None:
        again, _ = await carried_out(await a_quiet_swarm(), loaded(folder, files))
        assert again.is_empty, [(action.id, action.changes) for action in again.actions]

    asyncio.run(story())


@settings(deadline=None, max_examples=100)
@given(repositories(), repositories())
def test_a_second_plan_is_empty_after_any_change_of_the_repository(
    tmp_path_factory: Any, before: dict[str, str], after: dict[str, str]
):
    folder = tmp_path_factory.mktemp("repository")

    async def story() -> None:
        cluster = await a_quiet_swarm()
        await carried_out(cluster, loaded(folder, before))
        desired = loaded(folder, after)
        actual = await cluster.observe()
        made = plan(desired, actual)
        blocked = made.blocked
        blamed = {change.origin for action in made.actions for change in action.changes}
        assert blamed <= {Origin.INTENT, Origin.UNKNOWN}, "nobody but Git has moved"
        again, _ = await carried_out(cluster, desired)
        if not blocked:
            assert again.is_empty, [(action.id, action.changes) for action in again.actions]
            return
        # A network that differs has to wait for its last service to leave; each further pass gets on with that.
        for _ in range(PASSES_MAX):
            if not again.actions:
                break
            again, _ = await carried_out(cluster, desired)
        assert again.actions == ()
        assert {one.id for one in again.blocked} <= {one.id for one in blocked}

    asyncio.run(story())


@settings(deadline=None, max_examples=40)
@given(repositories())
def test_planning_is_deterministic_and_changes_nothing(tmp_path_factory: Any, files: dict[str, str]):
    folder = tmp_path_factory.mktemp("repository")

    async def story() -> None:
        cluster = await a_quiet_swarm()
        desired, actual = loaded(folder, files), await cluster.observe()
        before = deepcopy((actual, [wanted.spec for wanted in desired.objects]))
        assert plan(desired, actual) == plan(desired, actual)
        assert (actual, [wanted.spec for wanted in desired.objects]) == before

    asyncio.run(story())
