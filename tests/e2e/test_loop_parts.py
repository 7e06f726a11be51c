"""A real repository, the real loader, planner and apply, and the loop's decisions between them: pass by pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.adapters.git.source import GitSource
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.gitops.decide import decide
from reconciler.gitops.look import Decision, Look
from reconciler.gitops.results import after_apply
from reconciler.gitops.sources import load_fault, next_status
from reconciler.gitops.state import LoopState
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.manifests.inputs import LoadInputs
from reconciler.manifests.load import load
from reconciler.model.alerts import Alert
from reconciler.model.desired import DesiredState
from reconciler.model.errors import SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.policies import DriftMode, IgnoreRule, Policies
from reconciler.model.sources import Reference, ReferenceKind, SourceRevision, SourceSpec, SourceStatus
from reconciler.planning.ignored import with_ignored
from reconciler.planning.plan import plan
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.lab.git_servers import Repository
from tests.property.repositories import SCHEMAS
from tests.unit.gitops.story import START

SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {policy: {prune: true}}\n"
WEB = "services:\n  api:\n    image: nginx:1.25\n    deploy: {replicas: 2}\n"


@dataclass
class Loop:
    """What a controller's shell does in one pass, without its clocks and waits."""

    source: GitSource
    cluster: EmbeddedCluster
    policies: Policies = field(default_factory=Policies)
    state: LoopState = field(default_factory=lambda: LoopState(SourceStatus("infra")))
    desired: DesiredState | None = None
    passes: int = 0
    alerts: list[Alert] = field(default_factory=list)

    async def look_at_git(self) -> None:
        found = await self.source.look(self.state.source.in_force)
        if isinstance(found, SourceRevision):
            revision = self.source.revision(found.commit)
            try:
                self.desired = load(revision, LoadInputs(SCHEMAS, {}, "/root", revision.root))
            except SwarmctlError as error:
                found = load_fault(error, found.commit)
            finally:
                revision.close()
        self.state = replace(self.state, source=next_status(self.state.source, found, START))

    async def one_pass(self) -> Decision:
        self.passes += 1
        now = START + timedelta(minutes=self.passes)
        await self.look_at_git()
        actual = await self.cluster.observe()
        made = None
        if self.desired is not None:
            made = plan(with_ignored(self.desired, actual, self.policies.ignore), actual)
        look = Look(self.policies, self.desired, actual, made)
        decision = decide(look, self.state, now)
        self.alerts += decision.alerts
        self.state = decision.state
        if decision.plan is not None and decision.plan.actions:
            result = await apply(decision.plan, actual, self.cluster, ApplyOptions(wait=False), lambda step: None)
            done = after_apply(decision, look, result, await self.cluster.observe(), now)
            self.alerts += done.alerts
            self.state = done.state
        return decision

    async def scale_behind_our_back(self, replicas: int) -> None:
        found = (await self.cluster.observe()).by_name(Kind.SERVICE)["web_api"]
        spec = {**found.spec, "Mode": {"Replicated": {"Replicas": replicas}}}
        await self.cluster.update(Kind.SERVICE, found.id, found.version, spec)

    async def replicas(self) -> int:
        found = (await self.cluster.observe()).by_name(Kind.SERVICE)["web_api"]
        return found.spec["Mode"]["Replicated"]["Replicas"]

    def told(self) -> list[str]:
        told = [f"{one.kind.value} {one.phase.value} {one.subject}" for one in self.alerts]
        self.alerts.clear()
        return told


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path)
    made.commit("first", swarm_DOT_yaml=SWARM, stacks__web_DOT_yaml=WEB)
    return made


@pytest.fixture
async def loop(tmp_path: Path, repository: Repository) -> Loop:
    spec = SourceSpec("infra", str(repository.bare), Reference(ReferenceKind.BRANCH, "main"))
    return Loop(GitSource.open(str(tmp_path / "data"), spec), await a_quiet_swarm())


async def test_a_commit_is_applied_and_the_next_passes_do_nothing(loop, repository):
    first = await loop.one_pass()
    assert {one.id for one in first.plan.actions} == {"network.web_default", "service.web_api"}
    assert loop.told() == ["deployed notice web"]
    await loop.one_pass()
    remembered = loop.state
    for _ in range(5):
        assert (await loop.one_pass()).plan.actions == ()
    assert loop.state == remembered
    assert loop.told() == []
    repository.commit("scale", stacks__web_DOT_yaml=WEB.replace("2", "3"))
    assert [one.id for one in (await loop.one_pass()).plan.actions] == ["service.web_api"]
    assert await loop.replicas() == 3
    assert loop.state.scope("web").applied.commit == repository.git("rev-parse", "HEAD")


async def test_git_faults_and_broken_manifests_leave_the_last_good_revision_in_force_and_heal_drift(loop, repository):
    await loop.one_pass()
    good = loop.state.source.in_force
    repository.commit("broken", stacks__web_DOT_yaml="services: {api: {imaje: nginx}}\n")
    for harm in ("broken", "gone"):
        if harm == "gone":
            repository.bare.rename(repository.bare.with_suffix(".away"))
        await loop.scale_behind_our_back(7)
        await loop.one_pass()
        assert await loop.replicas() == 2, harm
        assert loop.state.source.in_force == good
        assert loop.state.source.fault is not None
    assert loop.told()[:2] == ["deployed notice web", "manifests opened infra"]
    repository.bare.with_suffix(".away").rename(repository.bare)
    repository.commit("mended", stacks__web_DOT_yaml=WEB)
    await loop.one_pass()
    assert loop.state.source.fault is None
    assert "manifests recovered infra" in loop.told()


async def test_an_emptied_repository_deletes_nothing(loop, repository):
    await loop.one_pass()
    repository.commit("emptied", swarm_DOT_yaml=None, stacks__web_DOT_yaml=None)
    decision = await loop.one_pass()
    assert decision.plan.actions == ()
    assert await loop.replicas() == 2


async def test_reported_drift_stays_until_somebody_accepts_it_and_ignored_replicas_are_nobodys_business(loop):
    await loop.one_pass()
    loop.told()
    loop.policies = Policies(drift=DriftMode.REPORT)
    await loop.scale_behind_our_back(5)
    for _ in range(3):
        assert (await loop.one_pass()).plan.actions == ()
    drift = loop.state.drifts["service.web_api"]
    assert [(one.path, one.applied, one.found) for one in drift.differences] == [("Mode.Replicated.Replicas", "2", "5")]
    assert loop.told() == ["drift opened service.web_api"]
    loop.policies = Policies(ignore=(IgnoreRule("service.web_*", "Mode.Replicated.Replicas"),))
    assert (await loop.one_pass()).plan.actions == ()
    assert await loop.replicas() == 5
    assert loop.told() == ["drift recovered service.web_api"]
