"""Putting a stack back: which writes that takes, and which it must not make."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.record import names_to_record
from reconciler.controller.undo import Undo, failure_of, undo
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState, Policy, Stack
from reconciler.model.endings import exit_code, problem_of
from reconciler.model.errors import ErrorCode, ExitCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.plan import ActionType, Plan
from reconciler.model.progress import ActionProgress, ActionStatus, Assessment, Verdict
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.unit.controller.faulty_cluster import Fault, FaultyCluster
from tests.unit.planning.builders import HERE, desired, network_spec, service_spec, wanted

ATOMIC = (Stack("web", "stacks/web.yaml", (), HERE, atomic=True),)


def of_services(*specs) -> DesiredState:
    services = [wanted(Kind.SERVICE, spec) for spec in specs]
    policy = Policy(prune=True, max_delete_percent=100)
    return desired(wanted(Kind.NETWORK, network_spec()), *services, stacks=ATOMIC, policy=policy)


FIRST = of_services(
    service_spec("web_changed"), service_spec("web_mode"), service_spec("web_removed"), service_spec("web_same")
)
SECOND = of_services(
    service_spec("web_changed", replicas=5, Image="nginx:2"),
    {**service_spec("web_mode"), "Mode": {"Global": {}}},
    service_spec("web_same"),
    service_spec("web_added"),
)


async def applied(cluster, state: DesiredState):
    before = await cluster.observe()
    made = plan(state, before)
    result = await apply(replace(made, atomic_stacks=()), before, cluster, ApplyOptions(wait=False), lambda step: None)
    assert result.count(ActionStatus.DONE) == len(result.actions)
    return made, before, result.actions


def specs_of(state: ActualState) -> dict[str, dict]:
    return {service.name: service.spec for service in state.services}


async def test_every_service_goes_back_to_the_spec_that_it_had():
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    _, before, ended = await applied(cluster, SECOND)
    now = await cluster.observe()
    back = undo("web", ended, {one.action.id for one in ended}, before, now)
    assert {action.id: action.type for action in back.actions} == {
        "service.web_changed (put back)": ActionType.UPDATE,
        "service.web_mode (put back)": ActionType.REPLACE,
        "service.web_removed (put back)": ActionType.CREATE,
        "service.web_added (put back)": ActionType.DELETE,
    }
    assert not back.left
    undoing = Plan("r", None, "e", back.actions)
    result = await apply(undoing, now, cluster, ApplyOptions(wait=False), lambda step: None)
    assert result.count(ActionStatus.DONE) == 4
    assert specs_of(await cluster.observe()) == specs_of(before)
    assert undo("web", ended, {one.action.id for one in ended}, before, await cluster.observe()).actions == ()


def publishing(name: str, port: int) -> dict:
    ports = [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "ingress"}]
    return {**service_spec(name), "EndpointSpec": {"Mode": "vip", "Ports": ports}}


@pytest.mark.parametrize("last_written", [True, False])
async def test_of_two_steps_on_one_service_both_are_taken_back(last_written: bool):
    """Where ports are swapped, the first step of a service is not what it is to go back to."""
    cluster = await a_quiet_swarm()
    await applied(cluster, of_services(publishing("web_a", 80), publishing("web_b", 81)))
    before = await cluster.observe()
    made = plan(of_services(publishing("web_a", 81), publishing("web_b", 80)), before)
    assert [action.id for action in made.actions] == ["service.web_a.release", "service.web_b", "service.web_a"]
    sent = made.actions if last_written else made.actions[:1]
    part = replace(made, actions=sent, atomic_stacks=())
    await apply(part, before, cluster, ApplyOptions(wait=False), lambda step: None)
    ended = [
        ActionProgress(action, ActionStatus.DONE if action in sent else ActionStatus.FAILED) for action in made.actions
    ]
    back = undo("web", ended, {action.id for action in sent}, before, await cluster.observe())
    assert not back.left
    live = specs_of(before)
    assert {action.name: action.spec["EndpointSpec"] for action in back.actions if action.spec} == {
        name: live[name]["EndpointSpec"] for name in (("web_a", "web_b") if last_written else ("web_a",))
    }
    assert await specs_after(back, cluster) == specs_of(before)


async def specs_after(back: Undo, cluster: EmbeddedCluster) -> dict[str, dict]:
    """Carry the writes out one after the other in the order that they ask for, and return what services are then."""
    now = await cluster.observe()
    options = ApplyOptions(wait=False, parallel=1)
    result = await apply(Plan("r", None, "e", back.actions), now, cluster, options, lambda step: None)
    assert not [one.problem for one in result.actions if one.status is not ActionStatus.DONE]
    return specs_of(await cluster.observe())


@pytest.mark.parametrize(
    "names",
    [("web_a", "web_b"), ("web_b", "web_a")],
    ids=" to ".join,
)
async def test_a_port_goes_back_to_whose_it_was_once_nobody_else_has_it(names: tuple[str, str]):
    """Whether its service was renamed, or has given it to another: the engine refuses it while that one has it."""
    former, later = names
    renamed = (of_services(publishing(former, 80)), of_services(publishing(later, 80)))
    given = (
        of_services(publishing(former, 80), publishing(later, 81)),
        of_services(publishing(former, 82), publishing(later, 80)),
    )
    for first, second in (renamed, given):
        cluster = await a_quiet_swarm()
        await applied(cluster, first)
        _, before, ended = await applied(cluster, second)
        back = undo("web", ended, {one.action.id for one in ended}, before, await cluster.observe())
        assert not back.left
        assert await specs_after(back, cluster) == specs_of(before)


async def test_what_somebody_else_changed_meanwhile_is_left_to_them():
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    _, before, ended = await applied(cluster, SECOND)
    changed = (await cluster.observe()).by_name(Kind.SERVICE)["web_changed"]
    theirs = {**changed.spec, "Mode": {"Replicated": {"Replicas": 9}}}
    await cluster.update(Kind.SERVICE, changed.id, changed.version, theirs)
    back = undo("web", ended, {one.action.id for one in ended}, before, await cluster.observe())
    assert "service.web_changed (put back)" not in {action.id for action in back.actions}
    assert [one.problem.code for one in back.left] == [ErrorCode.STALE_VERSION]


@pytest.mark.parametrize(("name", "is_told"), [("web_changed", True), ("web_added", False)])
async def test_what_could_not_be_written_since_somebody_else_had_is_told_where_it_is_part_of_the_stack(name, is_told):
    """What they have made under a new name was not there before: the stack is what it was without it."""
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    before = await cluster.observe()
    made = plan(SECOND, before)
    await applied(cluster, of_services(*(service_spec(one, replicas=9) for one in ("web_changed", "web_added"))))
    failed = tuple(
        ActionProgress(one, ActionStatus.FAILED if one.name == name else ActionStatus.SKIPPED) for one in made.actions
    )
    back = undo("web", failed, (), before, await cluster.observe())
    assert back.actions == ()
    assert [one.action.name for one in back.left] == ([name] if is_told else [])


async def test_what_the_swarm_has_put_back_itself_needs_no_write():
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    _, before, ended = await applied(cluster, SECOND)
    now = await cluster.observe()
    old = before.by_name(Kind.SERVICE)["web_changed"]
    rolled_back = tuple(
        replace(one, spec=old.spec, raw={**one.raw, "UpdateStatus": {"State": "rollback_completed"}})
        if one.name == old.name
        else one
        for one in now.services
    )
    written = {one.action.id for one in ended}
    ids = {one.id for one in undo("web", ended, written, before, replace(now, services=rolled_back)).actions}
    assert "service.web_changed (put back)" not in ids
    halfway = tuple(
        replace(one, raw={**one.raw, "UpdateStatus": {"State": "rollback_paused"}}) if one.name == old.name else one
        for one in rolled_back
    )
    ids = {one.id for one in undo("web", ended, written, before, replace(now, services=halfway)).actions}
    assert "service.web_changed (put back)" in ids


async def test_an_action_that_was_never_sent_is_not_undone_and_one_that_may_have_been_is_looked_at():
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    before = await cluster.observe()
    made = plan(SECOND, before)
    skipped = tuple(ActionProgress(action, ActionStatus.SKIPPED) for action in made.actions)
    assert undo("web", skipped, (), before, before).actions == ()
    failed = tuple(ActionProgress(action, ActionStatus.FAILED) for action in made.actions)
    back = undo("web", failed, (), before, before)
    assert (back.actions, back.left) == ((), ())


async def test_a_failed_write_puts_the_whole_atomic_stack_back():
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    before = await cluster.observe()
    failing = FaultyCluster(cluster)

    class RefusesOne(FaultyCluster):
        async def create(self, kind, spec, *, registry_auth=None):
            if spec["Name"] == "web_added":
                self.always = {"create": Fault.REFUSED_BEFORE}
            try:
                return await super().create(kind, spec)
            finally:
                self.always = {}

    failing = RefusesOne(cluster)
    made = plan(SECOND, before)
    assert made.atomic_stacks == ("web",)
    result = await apply(made, before, failing, ApplyOptions(wait=False), lambda step: None)
    (undone,) = result.undone
    assert (undone.stack, undone.cause.code) == ("web", ErrorCode.REQUEST_REFUSED)
    assert all(one.status is ActionStatus.DONE for one in undone.actions)
    assert specs_of(await cluster.observe()) == specs_of(before)


def a_look(verdict: Verdict, name: str = "web_api") -> Assessment:
    return Assessment(name, verdict, 0, 1, "because")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_stack_fails_with_its_services_endings_and_not_with_what_somebody_did(verdict):
    fails = verdict not in (Verdict.CONVERGED, Verdict.PROGRESSING, Verdict.MISSING, Verdict.CHANGED)
    assert (failure_of("web", (), [a_look(Verdict.CONVERGED), a_look(verdict)]) is not None) is fails


def test_the_gravest_ending_is_the_exit_code():
    told = {
        verdict: exit_code([problem_of(a_look(verdict))])
        for verdict in Verdict
        if verdict not in (Verdict.CONVERGED, Verdict.PROGRESSING)
    }
    assert told == {
        Verdict.TIMED_OUT: 3,
        Verdict.PAUSED: 4,
        Verdict.ROLLED_BACK: 5,
        Verdict.FAILING: 6,
        Verdict.UNSCHEDULABLE: 7,
        Verdict.MISSING: 1,
        Verdict.CHANGED: 1,
    }
    order = [Verdict.TIMED_OUT, Verdict.ROLLED_BACK, Verdict.PAUSED, Verdict.FAILING, Verdict.UNSCHEDULABLE]
    problems = [problem_of(a_look(verdict)) for verdict in order]
    for count in range(1, len(order) + 1):
        assert exit_code(problems[:count]) == told[order[count - 1]]
    left_out = Problem(ErrorCode.APPLY_FAILED, "left as it is")
    assert exit_code([left_out, problems[0]]) is ExitCode.TIMED_OUT
    assert exit_code([left_out]) is ExitCode.ERROR
    assert exit_code([Problem(ErrorCode.PLAN_BLOCKED, "blocked"), *problems]) is ExitCode.ERROR
    assert exit_code([Problem(ErrorCode.SWARM_UNAVAILABLE, "x", severity=Severity.WARNING)]) is ExitCode.OK


async def test_the_record_names_what_is_there_after_all():
    cluster = await a_quiet_swarm()
    await applied(cluster, FIRST)
    before = await cluster.observe()
    made = plan(SECOND, before)
    made = replace(made, inventory=frozenset({"service.web_changed", "service.web_added"}))
    statuses = {"service.web_added": ActionStatus.FAILED, "service.web_removed": ActionStatus.SKIPPED}
    ended = [ActionProgress(action, statuses.get(action.id, ActionStatus.DONE)) for action in made.actions]
    written = [one.action.id for one in ended if one.status is ActionStatus.DONE]
    assert names_to_record(made, ended, written) == {"service.web_changed", "service.web_removed"}
    everything = [one.action.id for one in ended]
    assert names_to_record(made, ended, everything) == made.inventory
    assert names_to_record(replace(made, inventory=None), ended, written) is None
