"""Laws of the loop's decision, for any plan, memory, policy and moment that we can make."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.gitops.decide import decide
from reconciler.gitops.look import Look, scope_of
from reconciler.gitops.records import changes, from_records, to_records
from reconciler.gitops.sources import next_look, next_status
from reconciler.gitops.state import Attempt, Incident, LoopState, ScopeState, Suspension
from reconciler.gitops.windows import opening
from reconciler.model.alerts import AlertKind, AlertPhase
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.plan import Action, Blocked, Origin
from reconciler.model.policies import DriftMode, Policies, StackPolicy, Window, WindowKind
from reconciler.model.progress import Verdict
from reconciler.model.sources import SourceFault, SourceSpec, SourceStatus
from reconciler.model.tables import KeyValueRecord
from tests.unit.gitops.story import START, actual, desired, node, plan, revision, services, stack, update

_UNHURRIED = (HealthCheck.too_slow,)
STACKS = ("db", "web", "shop", "top")
SERVICES = tuple(f"{name}_{part}" for name in STACKS for part in ("api", "cron"))

moments = st.timedeltas(timedelta(days=-9), timedelta(days=9)).map(lambda offset: START + offset)
scopes = st.sampled_from(("", "*", *STACKS))
modes = st.sampled_from(list(DriftMode))
windows = st.lists(
    st.builds(
        Window,
        st.sampled_from(list(WindowKind)),
        st.times().map(lambda one: time(one.hour, one.minute)),
        st.floats(1, 3 * 86400),
        st.frozensets(st.integers(0, 6), min_size=1),
    ),
    max_size=3,
).map(tuple)
policies = st.builds(
    Policies,
    drift=modes,
    windows=windows,
    stacks=st.dictionaries(st.sampled_from(STACKS), st.builds(StackPolicy, modes, windows)),
    objects=st.lists(st.tuples(st.sampled_from(("service.web_*", "service.*_cron")), modes), max_size=2).map(tuple),
)


@st.composite
def plans(draw):
    """Actions on some services, each after some of those before it."""
    names = draw(st.lists(st.sampled_from(SERVICES), unique=True))
    actions: list[Action] = []
    for name in names:
        after = tuple(draw(st.lists(st.sampled_from([one.id for one in actions]), max_size=2))) if actions else ()
        actions.append(update(name, draw(st.sampled_from(list(Origin))), after=after))
    blocked = draw(st.lists(st.sampled_from(SERVICES), max_size=1))
    problem = Problem(ErrorCode.NAME_CONFLICT, "It is somebody else's.")
    return replace(plan(*actions), blocked=tuple(Blocked(f"service.{name}", problem) for name in blocked))


attempts = st.builds(
    Attempt,
    st.sampled_from((revision(1).identity, revision(2).identity)),
    st.just("f"),
    moments,
    st.sampled_from((ErrorCode.REQUEST_REFUSED, ErrorCode.ROLLED_BACK)),
    st.just("It failed."),
    st.booleans(),
    st.integers(1, 10),
)
states = st.builds(
    lambda source, kept, suspensions, incidents: LoopState(
        source,
        {name: ScopeState(attempt=one) for name, one in kept.items()},
        suspensions={one.scope: one for one in suspensions},
        incidents={one.key: one for one in incidents},
    ),
    st.builds(
        SourceStatus,
        st.just("infra"),
        st.just(revision()),
        st.none() | st.builds(SourceFault, st.just(ErrorCode.SOURCE_REFUSED), st.just("No."), passing=st.booleans()),
        moments,
        st.integers(0, 10),
    ),
    st.dictionaries(st.sampled_from(("", *STACKS)), attempts),
    st.lists(st.builds(Suspension, scopes, moments, st.just("ada"), st.text(), st.none() | moments), max_size=2),
    st.lists(
        st.builds(
            Incident,
            st.sampled_from(("drift/service.web_api", "failed/web", "node/gone")),
            st.just(AlertKind.DRIFT),
            st.just("service.web_api"),
            moments,
            st.lists(moments, max_size=4).map(lambda some: tuple(sorted(some))),
            silenced=st.booleans(),
            closed=st.none() | moments,
        ),
        max_size=2,
    ),
)


@st.composite
def looks(draw):
    wanted = desired(stack("db"), stack("web", "db"), stack("shop"), stack("top", "web", "shop"))
    verdicts = {f"{name}_api": draw(st.sampled_from(list(Verdict))) for name in STACKS}
    if draw(st.booleans()):
        verdicts = dict.fromkeys(verdicts, Verdict.CONVERGED)
    forced = draw(st.frozensets(scopes, max_size=1))
    states_ = draw(st.sampled_from(("ready", "down")))
    busy = draw(st.frozensets(st.sampled_from(STACKS), max_size=2))
    seen = actual(node("a", states_))
    return Look(draw(policies), wanted, seen, draw(plans()), services(**verdicts), forced=forced, busy=busy)


@settings(max_examples=100, deadline=None, suppress_health_check=_UNHURRIED)
@given(looks(), states, moments)
def test_the_laws_of_one_decision(look, state, now):
    decision = decide(look, state, now)
    assert decision.plan is not None
    applied = {action.id for action in decision.plan.actions}
    held = {one.action_id: one for one in decision.held}

    # Nothing is lost, nothing is made up, and nothing goes before what it has to come after.
    assert applied.isdisjoint(held)
    assert applied | held.keys() == {action.id for action in look.plan.actions}
    assert [one.id for one in look.plan.actions if one.id in applied] == [one.id for one in decision.plan.actions]
    assert all(applied.issuperset(action.after) for action in decision.plan.actions)
    assert all(one.message for one in held.values())

    for action in decision.plan.actions:
        # What another apply is bringing about is its own; nor is anything written that depends on it.
        needed = {one.name: one.depends_on for one in look.desired.stacks}[action.stack]
        assert look.busy.isdisjoint((action.stack, *needed))
        # What people suspended is never written, and drift only where the policy or somebody says so.
        assert decision.state.suspension(scope_of(action), now) is None
        if action.origin is Origin.DRIFT and not look.is_forced(action.stack):
            assert look.policies.drift_of(action.id, action.stack) is DriftMode.HEAL
        # A failure that only Git or the cluster can mend is not repeated.
        attempt = state.scope(action.stack).attempt
        if attempt is not None and attempt.identity == revision().identity and attempt.passing:
            assert look.is_forced(action.stack) or now > attempt.at
        if not look.is_forced(action.stack):
            assert opening(look.policies.windows_of(action.stack), now).is_open

    assert decision.wake_at is None or decision.wake_at > now
    for one in decision.state.scopes.values():
        assert sum(condition.status for condition in one.conditions) <= 1
        assert all(condition.reason is one.conditions[0].reason for condition in one.conditions)


@settings(max_examples=60, deadline=None, suppress_health_check=_UNHURRIED)
@given(looks(), states, moments)
def test_what_is_under_way_holds_up_nothing_but_itself_and_what_depends_on_it(look, state, now):
    free = decide(replace(look, busy=frozenset()), state, now)
    held = {one.action_id: one.scope for one in decide(look, state, now).held}
    known = {one.action_id for one in free.held}
    kept_up = set(look.busy)
    for _ in STACKS:
        kept_up |= {one.name for one in look.desired.stacks if not kept_up.isdisjoint(one.depends_on)}
    for action in look.plan.actions:
        if action.id in held.keys() - known and held[action.id] not in kept_up:
            assert not held.keys().isdisjoint(action.after), "or what comes after something that is held"


@settings(max_examples=60, deadline=None, suppress_health_check=_UNHURRIED)
@given(looks(), states, moments)
def test_the_same_look_again_says_nothing_and_remembers_the_same(look, state, now):
    once = decide(look, state, now)
    again = decide(look, once.state, now)
    assert again.alerts == ()
    assert again.state == once.state
    assert again.plan == decide(look, once.state, now).plan
    assert changes(once.state, again.state).is_empty


@settings(max_examples=40, deadline=None, suppress_health_check=_UNHURRIED)
@given(looks(), states, moments)
def test_what_is_remembered_survives_the_store(look, state, now):
    for one in (state, decide(look, state, now).state):
        records = [KeyValueRecord("gitops", key, value, 1) for key, value in to_records(one).items()]
        others = [KeyValueRecord("gitops", key, value, 1) for key, value in _other_source(one).items()]
        damaged = [KeyValueRecord("gitops", f"{key}x", b"{", 1) for key in to_records(one)]
        assert from_records("infra", [*others, *damaged, *records]) == one


def _other_source(state: LoopState) -> dict[str, bytes]:
    return to_records(replace(state, source=replace(state.source, name="other")))


@given(states, states)
def test_the_changes_of_records_lead_from_one_state_to_the_other(before, after):
    records = to_records(before)
    made = changes(before, after)
    for key in made.delete:
        del records[key]
    records.update(made.put)
    assert records == to_records(after)


@settings(max_examples=50)
@given(st.lists(st.booleans(), min_size=5, max_size=60), st.sampled_from([DriftMode.REPORT, DriftMode.HEAL]))
def test_alerts_alternate_and_each_end_follows_a_beginning(standing, mode):
    """However drift comes and goes, nobody is told of an end that had no beginning, nor twice of either."""
    state = LoopState(SourceStatus("infra", revision()))
    wanted, now, phases = desired(stack("web")), START, []
    for is_there in [*standing, *[False] * 3]:
        actions = [update("web_api", Origin.DRIFT)] if is_there else []
        verdicts = services(web_api=Verdict.CONVERGED)
        decision = decide(Look(Policies(mode), wanted, actual(), plan(*actions), verdicts), state, now)
        phases += [alert.phase for alert in decision.alerts]
        state, now = decision.state, now + timedelta(minutes=40)
    beginnings = (AlertPhase.OPENED, AlertPhase.FLAPPING)
    for earlier, later in zip([AlertPhase.RECOVERED, *phases], [*phases, AlertPhase.OPENED], strict=True):
        assert (earlier in beginnings) != (later in beginnings)


faults = st.builds(
    SourceFault,
    st.sampled_from((ErrorCode.SOURCE_EMPTY, ErrorCode.SOURCE_TIMED_OUT)),
    st.just("x"),
    passing=st.booleans(),
)


@given(st.lists(st.integers(1, 3).map(revision) | faults, min_size=1, max_size=30))
def test_the_last_good_revision_stays_in_force(found):
    status, now, good = SourceStatus("infra"), START, None
    spec = SourceSpec("infra", "/srv/x", interval_s=60)
    for one in found:
        before, status, now = status, next_status(status, one, now), now + timedelta(minutes=1)
        good = good if isinstance(one, SourceFault) else one
        assert status.in_force == good
        assert (status.fault is None) is not isinstance(one, SourceFault)
        assert next_status(status, one, now).since == status.since
        if before.fault == status.fault:
            assert status.since == before.since or before.since is None
        wait_s = (next_look(status, spec, now) - now).total_seconds()
        assert 50 <= wait_s <= 15 * 60 * 1.1


@given(windows, moments)
def test_a_window_tells_the_moment_at_which_it_changes(some, now):
    found = opening(some, now)
    if found.until is None:
        assert opening(some, now + timedelta(days=3)).is_open is found.is_open
        return
    assert found.until > now
    assert opening(some, found.until).is_open is not found.is_open
    just_before: datetime = found.until - timedelta(microseconds=1)
    if just_before >= now:
        assert opening(some, just_before).is_open is found.is_open
