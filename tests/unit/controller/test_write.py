"""Writes whose answer is lost, refused for a moment, or met by somebody else's: done once, or told."""

from __future__ import annotations

import pytest

from reconciler.controller import patience as patience_module
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.nodes import later_steps
from reconciler.controller.write import Writer
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.desired import DesiredState, Policy
from reconciler.model.errors import ErrorCode, Severity, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType
from reconciler.model.progress import ActionStatus, ApplyResult
from reconciler.planning.inventory import recorded
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.unit.controller.faulty_cluster import Fault, FaultyCluster
from tests.unit.planning.builders import content_spec, desired, network_spec, service_spec, wanted


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(patience_module, "BACKOFF_MAX_S", 0.002)


def first() -> DesiredState:
    spec = service_spec(Configs=[{"File": {"Name": "/app"}, "ConfigName": "web_app"}])
    return desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SECRET, content_spec("web_key", "s")),
        wanted(Kind.CONFIG, content_spec("web_app", "1")),
        wanted(Kind.SERVICE, spec),
        wanted(Kind.SERVICE, service_spec("web_old")),
        wanted(Kind.SERVICE, service_spec("web_mode")),
        policy=Policy(prune=True, max_delete_percent=100),
    )


def second() -> DesiredState:
    """A rotated config, an update, a removed service and one that is made anew."""
    spec = service_spec(replicas=5, Configs=[{"File": {"Name": "/app"}, "ConfigName": "web_app"}])
    other_mode = {**service_spec("web_mode"), "Mode": {"Global": {}}}
    return desired(
        wanted(Kind.NETWORK, network_spec()),
        wanted(Kind.SECRET, content_spec("web_key", "s")),
        wanted(Kind.CONFIG, content_spec("web_app", "2")),
        wanted(Kind.SERVICE, spec),
        wanted(Kind.SERVICE, other_mode),
        policy=Policy(prune=True, max_delete_percent=100),
    )


async def carry_out(cluster: EmbeddedCluster | FaultyCluster, state: DesiredState) -> ApplyResult:
    inner = cluster.inner if isinstance(cluster, FaultyCluster) else cluster
    actual = await inner.observe()
    options = ApplyOptions(wait=False, parallel=1)
    return await apply(plan(state, actual), actual, cluster, options, lambda step: None)


async def names_of(cluster: EmbeddedCluster) -> list[str]:
    actual = await cluster.observe()
    kinds = (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)
    return sorted(f"{kind}.{one.name}" for kind in kinds for one in actual.of_kind(kind))


async def calls_of(prepared: list[DesiredState], state: DesiredState) -> int:
    """Return how many calls an apply of `state` makes on what the `prepared` ones have left."""
    cluster = await a_quiet_swarm()
    for earlier in prepared:
        await carry_out(cluster, earlier)
    counting = FaultyCluster(cluster)
    await carry_out(counting, state)
    return len(counting.calls)


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("prepared", [[], [first()]], ids=["from nothing", "from the first"])
async def test_one_fault_on_any_call_is_got_over_and_nothing_is_done_twice(fault, prepared):
    state = second() if prepared else first()
    clean = await a_quiet_swarm()
    for one in [*prepared, state]:
        await carry_out(clean, one)
    calls = await calls_of(prepared, state)
    assert calls >= 5
    for number in range(calls):
        cluster = await a_quiet_swarm()
        for earlier in prepared:
            await carry_out(cluster, earlier)
        result = await carry_out(FaultyCluster(cluster, {number: fault}), state)
        endings = {one.action.id: (one.status, one.problem) for one in result.actions}
        assert result.count(ActionStatus.DONE) == len(result.actions), (number, endings)
        assert not result.warnings
        assert await names_of(cluster) == await names_of(clean), number
        assert not plan(state, await cluster.observe()).actions


@pytest.mark.parametrize("prepared", [[], [first()]], ids=["from nothing", "from the first"])
async def test_a_write_that_is_given_up_is_looked_for_once_more(monkeypatch, prepared):
    monkeypatch.setattr(patience_module, "AWAY_MAX_S", 0.0)  # the first failure ends all tries
    state, found = second() if prepared else first(), {Fault.LOST_AFTER: 0, Fault.LOST_BEFORE: 0}
    clean = await a_quiet_swarm()
    for earlier in prepared:
        await carry_out(clean, earlier)
    counting = FaultyCluster(clean)
    await carry_out(counting, state)
    writes = [number for number, name in enumerate(counting.calls) if name in ("create", "update", "remove")]
    *writes, _record = writes
    for fault in found:
        for number in writes:
            cluster = await a_quiet_swarm()
            for earlier in prepared:
                await carry_out(cluster, earlier)
            result = await carry_out(FaultyCluster(cluster, {number: fault}), state)
            found[fault] += result.count(ActionStatus.DONE) == len(result.actions)
    assert found == {Fault.LOST_AFTER: len(writes), Fault.LOST_BEFORE: 0}


async def test_a_node_whose_answers_are_lost_is_done_once_its_spec_is_ours(monkeypatch):
    monkeypatch.setattr(patience_module, "AWAY_MAX_S", 0.05)
    cluster = await a_quiet_swarm()
    before = await cluster.observe()
    node = before.nodes[0]
    spec = {**node.spec, "Labels": {**(node.spec.get("Labels") or {}), "zone": "a"}}
    action = Action(
        "node.n", ActionType.UPDATE, Kind.NODE, node.name, None, "because",
        spec=spec, object_id=node.id, version=node.version, read_spec=node.spec,
    )  # fmt: skip
    faulty = FaultyCluster(cluster, {0: Fault.LOST_AFTER}, get=Fault.LOST_BEFORE)
    await Writer(faulty, patience_module.Patience(), {}).carry_out(action)
    assert faulty.calls.count("update") == 1
    assert faulty.calls[-1] == "observe"
    assert (await cluster.observe()).nodes[0].spec["Labels"]["zone"] == "a"


async def test_a_step_on_a_node_that_another_apply_has_gone_beyond_is_done():
    cluster = await a_quiet_swarm()
    node = (await cluster.observe()).nodes[0]
    labelled = {**node.spec, "Labels": {"step": "1"}}
    steps = [
        Action(
            name, ActionType.UPDATE, Kind.NODE, node.name, None, "because",
            spec=spec, object_id=node.id, version=node.version, read_spec=before,
        )
        for name, before, spec in (
            ("node.n.drain", node.spec, {**labelled, "Availability": "drain"}),
            ("node.n.label", {**labelled, "Availability": "drain"}, {**labelled, "Availability": "pause"}),
        )
    ]  # fmt: skip
    for step in steps:  # the other apply
        await Writer(cluster, patience_module.Patience(), {}).carry_out(step)
    with pytest.raises(SwarmctlError) as caught:
        await Writer(cluster, patience_module.Patience(), {}).carry_out(steps[0])
    assert caught.value.code is ErrorCode.STALE_VERSION
    there = (await cluster.observe()).nodes[0]
    writer = Writer(cluster, patience_module.Patience(), {}, later=later_steps(steps))
    for step in steps:
        await writer.carry_out(step)
    assert (await cluster.observe()).nodes[0] == there


async def test_a_step_on_a_node_that_another_apply_has_removed_is_done_if_it_was_to_go():
    cluster = await a_quiet_swarm()
    node = (await cluster.observe()).nodes[0]
    drain = Action(
        "node.n.drain", ActionType.UPDATE, Kind.NODE, node.name, None, "because",
        spec={**node.spec, "Availability": "drain"}, object_id="gone", version=1, read_spec=node.spec,
    )  # fmt: skip
    removal = Action("node.n", ActionType.DELETE, Kind.NODE, node.name, None, "because", object_id="gone")
    with pytest.raises(SwarmctlError) as caught:
        await Writer(cluster, patience_module.Patience(), {}).carry_out(drain)
    assert caught.value.code is ErrorCode.OBJECT_NOT_FOUND
    writer = Writer(cluster, patience_module.Patience(), {}, later=later_steps((drain, removal)))
    for step in (drain, removal):
        await writer.carry_out(step)


async def test_an_endpoint_that_stays_away_ends_the_apply_and_says_what_was_not_done(monkeypatch):
    monkeypatch.setattr(patience_module, "AWAY_MAX_S", 0.05)
    cluster = await a_quiet_swarm()
    away = FaultyCluster(cluster, observe=Fault.LOST_BEFORE, create=Fault.LOST_BEFORE, get=Fault.LOST_BEFORE)
    result = await carry_out(away, first())
    assert result.lost is not None
    assert result.lost.code is ErrorCode.ENGINE_UNREACHABLE
    statuses = [one.status for one in result.actions]
    assert statuses.count(ActionStatus.FAILED) == 1
    assert statuses.count(ActionStatus.SKIPPED) == len(statuses) - 1
    assert all(one.problem is not None for one in result.actions)
    failed = next(one for one in result.actions if one.status is ActionStatus.FAILED)
    assert failed.problem.what.endswith(f"{failed.action.name} may not have been created: no Docker Engine answers.")


async def test_a_locked_swarm_is_not_waited_for():
    """Nothing but a person unlocks it; so it ends the apply at once, and no further call is made."""

    class Locked(FaultyCluster):
        async def create(self, kind, spec, *, registry_auth=None):
            self.calls.append("create")
            raise SwarmctlError(ErrorCode.SWARM_UNAVAILABLE, "The swarm cannot answer now.", hint="Unlock it.")

    locked = Locked(await a_quiet_swarm())
    actual = await locked.inner.observe()
    options = ApplyOptions(parallel=1)
    result = await apply(plan(first(), actual), actual, locked, options, lambda step: None)
    assert locked.calls == ["create"]
    assert result.lost is not None
    assert result.lost.hint == "Unlock it."
    statuses = [one.status for one in result.actions]
    assert statuses.count(ActionStatus.FAILED) == 1
    assert statuses.count(ActionStatus.SKIPPED) == len(statuses) - 1 > 0


async def test_an_engine_that_goes_on_failing_is_asked_only_so_often():
    cluster = await a_quiet_swarm()
    failing = FaultyCluster(cluster, create=Fault.REFUSED_BEFORE)
    result = await carry_out(failing, desired(wanted(Kind.NETWORK, network_spec())))
    assert [one.problem.code for one in result.actions] == [ErrorCode.REQUEST_REFUSED]
    assert result.actions[0].problem.what == "Network web_default was not created: the engine refused the request."
    assert failing.calls.count("create") == 1 + patience_module.FAILURES_MAX


async def test_a_namesake_that_appears_while_the_answer_is_lost_is_never_taken_for_ours():
    cluster = await a_quiet_swarm()

    class Racing(FaultyCluster):
        async def create(self, kind, spec, *, registry_auth=None):
            if "create" not in self.calls:
                await self.inner.create(kind, {**spec, "Attachable": True})
            return await super().create(kind, spec)

    result = await carry_out(Racing(cluster, {0: Fault.LOST_BEFORE}), desired(wanted(Kind.NETWORK, network_spec())))
    assert [one.problem.code for one in result.actions] == [ErrorCode.NAME_CONFLICT]


async def test_an_object_that_was_removed_meanwhile_is_told_and_the_next_apply_creates_it():
    cluster = await a_quiet_swarm()
    await carry_out(cluster, first())
    actual = await cluster.observe()
    made = plan(second(), actual)
    await cluster.remove(Kind.SERVICE, actual.by_name(Kind.SERVICE)["web_api"].id)
    result = await apply(made, actual, cluster, ApplyOptions(wait=False), lambda step: None)
    problem = next(one.problem for one in result.actions if one.action.id == "service.web_api")
    assert problem.code is ErrorCode.OBJECT_NOT_FOUND
    assert "removed by someone else" in problem.what
    await carry_out(cluster, second())
    assert "service.web_api" in await names_of(cluster)


async def test_registry_credentials_go_along_with_services_and_nothing_else():
    cluster = FaultyCluster(await a_quiet_swarm())
    state = first()
    actual = await cluster.inner.observe()

    async def auth_of(image: str) -> str:
        return f"auth of {image}"

    options = ApplyOptions(wait=False, registry_auth=auth_of)
    await apply(plan(state, actual), actual, cluster, options, lambda step: None)
    assert sorted(filter(None, cluster.auths)) == ["auth of nginx:1.25"] * 3
    assert cluster.auths.count(None) == len(cluster.auths) - 3


async def test_a_record_that_cannot_be_written_is_a_warning_and_what_was_applied_stays_applied():
    cluster = await a_quiet_swarm()
    result = await carry_out(FaultyCluster(cluster, update=Fault.REFUSED_BEFORE), first())
    assert result.count(ActionStatus.DONE) == len(result.actions)
    (warning,) = result.warnings
    assert warning.severity is Severity.WARNING
    assert "service.web_api" not in recorded(await cluster.observe(), "prod")
    await carry_out(cluster, second())
    assert "service.web_api" in recorded(await cluster.observe(), "prod")


async def test_the_record_is_made_on_what_the_settings_are_by_then():
    cluster = await a_quiet_swarm()

    class Racing(FaultyCluster):
        async def update(self, kind, object_id, version, spec, *, registry_auth=None, rotate=()):
            if "update" not in self.calls:
                swarm = await self.inner.get(Kind.SWARM, "")
                theirs = {**swarm.spec, "Orchestration": {"TaskHistoryRetentionLimit": 7}}
                await self.inner.update(Kind.SWARM, swarm.id, swarm.version, theirs)
            await super().update(kind, object_id, version, spec)

    racing = Racing(cluster)
    result = await carry_out(racing, first())
    assert not result.warnings
    assert racing.calls.count("update") == 2
    actual = await cluster.observe()
    assert actual.swarm.spec["Orchestration"]["TaskHistoryRetentionLimit"] == 7
    assert "service.web_api" in recorded(actual, "prod")


async def test_an_endpoint_that_goes_away_while_waiting_is_the_result(monkeypatch):
    monkeypatch.setattr(patience_module, "AWAY_MAX_S", 0.05)
    cluster = await a_quiet_swarm()
    actual = await cluster.observe()
    away = FaultyCluster(cluster, observe=Fault.LOST_BEFORE)
    result = await apply(plan(first(), actual), actual, away, ApplyOptions(timeout_s=30), lambda step: None)
    assert result.count(ActionStatus.DONE) == len(result.actions)
    assert result.lost is not None
    assert result.lost.code is ErrorCode.ENGINE_UNREACHABLE
