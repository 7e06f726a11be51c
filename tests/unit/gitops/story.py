"""The loop's life, told pass by pass: what was seen, what was decided, what people were told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from reconciler.gitops.decide import decide
from reconciler.gitops.look import Decision, Look
from reconciler.gitops.records import changes, from_records, to_records
from reconciler.gitops.results import AfterApply, after_apply
from reconciler.gitops.sources import next_status
from reconciler.gitops.state import LoopState
from reconciler.model.actual import ActualState
from reconciler.model.alerts import Alert
from reconciler.model.conditions import Condition
from reconciler.model.desired import DesiredObject, DesiredState, Stack
from reconciler.model.errors import ErrorCode, Place, Problem
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, ActionType, Change, Origin, Plan
from reconciler.model.policies import Policies
from reconciler.model.progress import ActionProgress, ActionStatus, ApplyResult, Assessment, UndoneStack, Verdict
from reconciler.model.sources import SourceFault, SourceRevision, SourceStatus
from reconciler.model.tables import KeyValueRecord

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
HERE = Place("stacks/x.yaml", 1, 1)


def revision(number: int = 1, identity: str = "") -> SourceRevision:
    commit = f"{number:040x}"
    return SourceRevision(
        commit, identity or f"tree-{number}", "refs/heads/main", "Ada <a@b>", f"change {number}", START
    )


def stack(name: str, *needs: str) -> Stack:
    return Stack(name, f"stacks/{name}.yaml", needs, HERE)


def desired(*stacks: Stack, nodes=()) -> DesiredState:
    objects = tuple(
        DesiredObject(Kind.SERVICE, f"{one.name}_api", one.name, {"Name": f"{one.name}_api"}, HERE) for one in stacks
    )
    return DesiredState("prod", "infra", None, stacks, objects, nodes=nodes)


def actual(*nodes: ObservedObject, **specs: dict) -> ActualState:
    swarm = ObservedObject(Kind.SWARM, "swarm", "default", 1, {}, {})
    services = tuple(
        ObservedObject(Kind.SERVICE, f"id-{name}", name, 1, {"Name": name, **spec}, {}) for name, spec in specs.items()
    )
    labelled = tuple(
        replace(one, spec={**one.spec, "Labels": {"com.docker.stack.namespace": one.name.split("_")[0]}})
        for one in services
    )
    return ActualState("unix:///x", START, swarm, nodes=nodes, services=labelled)


def node(hostname: str, state: str = "ready") -> ObservedObject:
    raw = {"Description": {"Hostname": hostname}, "Status": {"State": state}}
    return ObservedObject(Kind.NODE, f"id-{hostname}", hostname, 1, {"Role": "worker"}, raw)


def update(service: str, origin: Origin = Origin.INTENT, *paths: str, after: tuple[str, ...] = ()) -> Action:
    changes_ = tuple(
        Change(path, "live", "git", origin=origin, applied="git" if origin is Origin.DRIFT else "x")
        for path in paths or ("TaskTemplate.ContainerSpec.Image",)
    )
    return Action(
        id=f"service.{service}",
        type=ActionType.UPDATE,
        kind=Kind.SERVICE,
        name=service,
        stack=service.split("_", maxsplit=1)[0],
        reason="1 field differs",
        changes=changes_,
        after=after,
        object_id=f"id-{service}",
        origin=origin,
        spec={},
        read_spec={},
    )


def plan(*actions: Action) -> Plan:
    return Plan("infra", None, "unix:///x", actions)


def applied_ids(decision: Decision) -> list[str]:
    return [action.id for action in decision.plan.actions]


def services(**verdicts: Verdict) -> tuple[Assessment, ...]:
    return tuple(Assessment(name, verdict, 1, 1) for name, verdict in verdicts.items())


@dataclass
class Story:
    """A loop that keeps its memory in records only, as a controller does whose group elects another one each pass."""

    policies: Policies = field(default_factory=Policies)
    wanted: DesiredState = field(default_factory=lambda: desired(stack("web")))
    now: datetime = START
    state: LoopState = field(default_factory=lambda: LoopState(SourceStatus("infra")))
    alerts: list[Alert] = field(default_factory=list)
    writes: int = 0
    look: Look | None = None
    decision: Decision | None = None

    def __post_init__(self) -> None:
        self.found(revision())

    def wait(self, **duration: float) -> Story:
        self.now += timedelta(**duration)
        return self

    def found(self, what: SourceRevision | SourceFault) -> Story:
        self._remember(replace(self.state, source=next_status(self.state.source, what, self.now)))
        return self

    def sees(self, *actions: Action, cluster: ActualState | None = None, **more) -> Decision:
        """One pass over a cluster for which the planner plans these actions."""
        more.setdefault("assessments", services(**{f"{one.name}_api": Verdict.CONVERGED for one in self.wanted.stacks}))
        self.look = Look(self.policies, self.wanted, cluster or actual(), more.pop("plan", plan(*actions)), **more)
        return self._decided()

    def sees_nothing(self, failures: int = 1) -> Decision:
        """One pass in which the cluster does not answer."""
        problem = Problem(ErrorCode.ENGINE_UNREACHABLE, "The engine does not answer.")
        self.look = Look(self.policies, self.wanted, cluster_problem=problem, cluster_failures=failures)
        return self._decided()

    def _decided(self) -> Decision:
        assert self.look is not None
        self.decision = decide(self.look, self.state, self.now)
        self.alerts += self.decision.alerts
        self._remember(self.decision.state)
        return self.decision

    def applied(
        self,
        failed: dict[str, ErrorCode] | None = None,
        verdicts: dict[str, Verdict] | None = None,
        undone: tuple[str, ...] = (),
        skipped: tuple[str, ...] = (),
        cluster: ActualState | None = None,
        not_back: ErrorCode | None = None,
    ) -> AfterApply:
        """The decided plan was carried out; `failed` and `skipped` by action id, `verdicts` by service.

        `not_back` is why services of the stacks in `undone` could not be put back.
        """
        assert self.decision is not None
        assert self.decision.plan is not None
        assert self.look is not None
        steps = []
        for action in self.decision.plan.actions:
            code = (failed or {}).get(action.id)
            problem = Problem(code, f"{action.id} failed.") if code else None
            status = ActionStatus.SKIPPED if action.id in skipped else ActionStatus.DONE
            steps.append(ActionProgress(action, ActionStatus.FAILED if code else status, problem))
        ended = {one.action.name: Verdict.CONVERGED for one in steps} | (verdicts or {})
        cause = Problem(ErrorCode.TASKS_FAILING, "It fails.")
        left = [Problem(not_back, "It was not written.")] if not_back else []
        writes = tuple(ActionProgress(steps[0].action, ActionStatus.FAILED, why) for why in left)
        causes = tuple(UndoneStack(name, cause, writes) for name in undone)
        result = ApplyResult(self.decision.plan, tuple(steps), services(**ended), undone=causes)
        after = after_apply(self.decision, self.look, result, cluster or actual(), self.now, self.state)
        self.alerts += after.alerts
        self._remember(after.state)
        return after

    def _remember(self, state: LoopState) -> None:
        self.writes += not changes(self.state, state).is_empty
        records = [KeyValueRecord("gitops", key, value, 1) for key, value in to_records(state).items()]
        assert from_records("infra", records) == state
        self.state = from_records("infra", records)

    def told(self) -> list[str]:
        return [f"{one.kind.value} {one.phase.value} {one.subject}" for one in self.alerts]

    def condition(self, scope: str = "web") -> str:
        """Which of the three are true, and why: "Stalled apply-failed"."""
        three: tuple[Condition, ...] = self.state.scope(scope).conditions
        true = [one.type.value for one in three if one.status]
        assert len(true) <= 1
        return " ".join([*true, three[0].reason.value])
