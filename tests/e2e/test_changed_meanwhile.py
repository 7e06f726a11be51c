"""Somebody else writes to the swarm between plan and write, or while tasks start: told, and never overwritten unseen.

What does not depend on it goes on, and the next apply brings the swarm to what was asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler import settings
from reconciler.adapters.docker.cluster import connect
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.cli.ports import Source
from reconciler.controller import write
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import prepare
from reconciler.model.desired import DesiredState
from reconciler.model.endings import problem_of
from reconciler.model.errors import ErrorCode
from reconciler.model.images import ResolveMode
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ActionType
from reconciler.model.planned import PlanRequest
from reconciler.model.progress import ActionStatus, ApplyResult, Progress, ServicesProgress, Verdict
from reconciler.settings import EndpointSettings
from reconciler.wiring import Wiring
from tests.lab.swept import sweep

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: meanwhile}
spec:
  networks: {%s}
  policy: {prune: true, maxDeletePercent: 100, keepVersions: 0}
"""

HEAD = """\
version: "3.8"
x-task: &task
  image: swarmctl-test:1
  command: ["sleep", "3600"]
  stop_signal: SIGKILL
  stop_grace_period: 1s
x-deploy: &deploy {endpoint_mode: dnsrr, replicas: 0, update_config: {monitor: 50ms}}
"""

FIRST = """\
networks:
  backbone: {external: true, name: backbone}
services:
  web: {<<: *task, environment: {LEVEL: "1"}, deploy: *deploy, networks: [backbone]}
  other: {<<: *task, environment: {LEVEL: "1"}, deploy: *deploy, networks: [backbone]}
  old: {<<: *task, deploy: *deploy, networks: [backbone]}
configs: {shared: {file: shared.ini}, former: {file: former.ini}}
"""

SECOND = """\
networks:
  backbone: {external: true, name: backbone}
  later: {external: true, name: later}
services:
  web: {<<: *task, environment: {LEVEL: "2"}, deploy: *deploy, networks: [backbone]}
  other: {<<: *task, environment: {LEVEL: "2"}, deploy: *deploy, networks: [later]}
  new: {<<: *task, deploy: *deploy, configs: [shared], networks: [backbone]}
configs: {shared: {file: shared.ini}}
"""

WATCHED = f"""{HEAD}
services:
  web: {{<<: *task, deploy: {{endpoint_mode: dnsrr, update_config: {{monitor: 1m}}}}}}
  other: {{<<: *task, deploy: {{endpoint_mode: dnsrr, update_config: {{monitor: 50ms}}}}}}
networks: {{default: {{external: true, name: host}}}}
"""

ATOMIC = f"""{HEAD}
x-swarmctl: {{rollback: stack}}
services:
  web: {{<<: *task, deploy: *deploy, configs: [app], secrets: [key], networks: [inner]}}
  other: {{<<: *task, deploy: *deploy, networks: [outer]}}
networks: {{outer: {{external: true, name: host}}, inner: {{driver: overlay}}}}
configs: {{app: {{file: app.ini}}}}
secrets: {{key: {{file: key.txt}}}}
"""

OVERLAY = "%s: {driver: overlay}"
WAIT_S = 60.0


@dataclass(frozen=True)
class Case:
    """What somebody does between plan and write, and how the actions end that are not simply done."""

    name: str
    meddle: Callable[[Cluster], Awaitable[object]]
    fails: dict[str, ErrorCode] = field(default_factory=dict)
    told: str = ""
    """A part of what is said of the first of them."""


async def found(cluster: Cluster, kind: Kind, name: str) -> ObservedObject:
    return (await cluster.observe()).by_name(kind)[name]


async def remove(cluster: Cluster, kind: Kind, name: str) -> None:
    await cluster.remove(kind, (await found(cluster, kind, name)).id)


async def change(cluster: Cluster, name: str, **labels: str) -> None:
    """Update a service with more labels, or with the very spec that it has."""
    service = await found(cluster, Kind.SERVICE, name)
    spec = {**service.spec, "Labels": {**service.labels, **labels}}
    await cluster.update(Kind.SERVICE, service.id, service.version, spec)


def a_service(name: str, **task: object) -> JsonObject:
    template = {"ContainerSpec": {"Image": "swarmctl-test:1", "Args": ["sleep", "9"], **task}}
    return {"Name": name, "Mode": {"Replicated": {"Replicas": 0}}, "TaskTemplate": template}


async def use_the_config_that_goes(cluster: Cluster) -> None:
    config = await found(cluster, Kind.CONFIG, "app_former")
    reference = {"ConfigID": config.id, "ConfigName": config.name, "File": {"Name": "/f", "Mode": 292}}
    await cluster.create(Kind.SERVICE, a_service("theirs", Configs=[reference]))


async def use_the_network_that_goes(cluster: Cluster) -> None:
    spec = a_service("theirs")
    spec["TaskTemplate"]["Networks"] = [{"Target": (await found(cluster, Kind.NETWORK, "former")).id}]
    await cluster.create(Kind.SERVICE, spec)


CASES = (
    Case(
        "the service to update is removed",
        lambda cluster: remove(cluster, Kind.SERVICE, "app_web"),
        {"service.app_web": ErrorCode.OBJECT_NOT_FOUND},
        "Service app_web was removed by someone else since the plan was made.",
    ),
    Case(
        "the service to update is changed",
        lambda cluster: change(cluster, "app_web", by="hand"),
        {"service.app_web": ErrorCode.STALE_VERSION},
        "Service app_web was changed by someone else since the plan was made.",
    ),
    Case("the service to update has another version", lambda cluster: change(cluster, "app_web")),
    Case(
        "the service to create is there",
        lambda cluster: cluster.create(Kind.SERVICE, a_service("app_new")),
        {"service.app_new": ErrorCode.NAME_CONFLICT},
        "app_new (was not|can't be) created",
    ),
    Case("the service to remove is gone", lambda cluster: remove(cluster, Kind.SERVICE, "app_old")),
    Case("the config to remove is gone", lambda cluster: remove(cluster, Kind.CONFIG, "app_former")),
    Case("the network to remove is gone", lambda cluster: remove(cluster, Kind.NETWORK, "former")),
    Case(
        "a config that a new service uses is removed",
        lambda cluster: remove(cluster, Kind.CONFIG, "app_shared"),
        {"service.app_new": ErrorCode.REQUEST_REFUSED},
        "app_new (was not|can't be) created",
    ),
    Case(
        "a network that a changed service joins is removed",
        lambda cluster: remove(cluster, Kind.NETWORK, "later"),
        {"service.app_other": ErrorCode.REQUEST_REFUSED},
        "app_other (was not|can't be) updated",
    ),
    Case(
        "the config to remove is used",
        use_the_config_that_goes,
        {"config.app_former": ErrorCode.OBJECT_IN_USE},
        "onfig app_former (was not|can't be) removed",
    ),
    Case(
        "the network to remove is used",
        use_the_network_that_goes,
        {"network.former": ErrorCode.OBJECT_IN_USE},
        "etwork former (was not|can't be) removed",
    ),
)


@dataclass(frozen=True)
class Revisions:
    first: DesiredState
    second: DesiredState


@pytest.fixture
def revisions(tmp_path: Path) -> Revisions:
    def loaded(name: str, stack: str, *networks: str) -> DesiredState:
        (tmp_path / name / "stacks").mkdir(parents=True)
        files = {"swarm.yaml": SWARM % ", ".join(OVERLAY % network for network in networks)}
        files |= {"stacks/app.yaml": HEAD + stack}
        files |= {"stacks/shared.ini": "shared = 1\n", "stacks/former.ini": "former = 1\n"}
        for path, text in files.items():
            (tmp_path / name / path).write_text(text)
        return Wiring(settings.read({})).load(Source(str(tmp_path / name)))

    first = loaded("first", FIRST, "backbone", "later", "former")
    return Revisions(first, loaded("second", SECOND, "backbone", "later"))


@pytest.fixture(params=["embedded", pytest.param("docker", marks=pytest.mark.engine)])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Each backend in turn, with nothing deployed."""
    if request.param == "embedded":
        async with await start_embedded_swarm(EmbeddedSettings(data_dir=str(tmp_path / "swarm"))) as swarm:
            yield swarm.cluster
        return
    lab = request.getfixturevalue("lab")
    connected = await connect(EndpointSettings(host=lab.manager.host))
    try:
        yield connected
    finally:
        await connected.close()
        sweep(lab)


async def applied(cluster: Cluster, desired: DesiredState) -> ApplyResult:
    made = await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)
    return await apply(made.plan, made.actual, cluster, ApplyOptions(wait=False), lambda step: None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_somebody_else_writes_before_us_is_told_and_the_next_apply_finishes(
    case: Case, cluster: Cluster, revisions: Revisions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(write, "IN_USE_WAIT_S", 0.5)
    assert not [one.problem for one in (await applied(cluster, revisions.first)).actions if one.problem]
    made = await prepare(PlanRequest(revisions.second, ResolveMode.NEVER), cluster)
    await case.meddle(cluster)
    theirs = (await cluster.observe()).services
    result = await apply(made.plan, made.actual, cluster, ApplyOptions(wait=False), lambda step: None)

    problems = {one.action.id: one.problem for one in result.actions if one.status is ActionStatus.FAILED}
    assert {name: problem.code for name, problem in problems.items()} == case.fails
    left = [one.action for one in result.actions if one.status is ActionStatus.SKIPPED]
    assert all(one.type is ActionType.DELETE for one in left), left  # what is removed comes last, after all went well
    for name, problem in problems.items():
        assert re.search(case.told, problem.what), (name, problem)
        assert problem.hint, problem
        assert problem.why, problem
        kept = next((one for one in theirs if f"service.{one.name}" == name), None)
        if kept is not None:
            assert (await cluster.get(Kind.SERVICE, kept.id)).spec == kept.spec, "what is theirs is not overwritten"

    for one in theirs:
        if one.name in ("theirs", "app_new"):  # a foreign object is never taken over, nor what it uses removed
            await remove(cluster, Kind.SERVICE, one.name)
    again = await applied(cluster, revisions.second)
    assert not [one.problem for one in again.actions if one.problem]
    planned = await prepare(PlanRequest(revisions.second, ResolveMode.NEVER), cluster)
    assert planned.plan.is_empty, planned.plan.actions


async def test_of_two_applies_of_the_same_manifests_the_later_one_takes_for_done_what_the_other_has_done(
    cluster: Cluster, tmp_path: Path
):
    """The stack goes back as a whole when a write fails: not when another apply has brought it to where it is to go."""
    for name, text in {"app.yaml": ATOMIC, "app.ini": "level = 1\n", "key.txt": "hush"}.items():
        (tmp_path / name).write_text(text)
    desired = Wiring(settings.read({})).load(Source(str(tmp_path / "app.yaml")))
    made = [await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster) for _ in range(2)]
    for one in made:
        result = await apply(one.plan, one.actual, cluster, ApplyOptions(timeout_s=WAIT_S), lambda step: None)
        assert [(each.action.id, each.problem) for each in result.actions if each.problem] == []
        assert not result.undone
        assert {each.status for each in result.actions} == {ActionStatus.DONE}
    assert sorted(one.name for one in (await cluster.observe()).services) == ["app_other", "app_web"]
    assert (await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)).plan.is_empty


@pytest.mark.parametrize(
    ("meddle", "verdict", "told"),
    [
        (lambda cluster: remove(cluster, Kind.SERVICE, "app_web"), Verdict.MISSING, "creates it anew"),
        (lambda cluster: change(cluster, "app_web", by="hand"), Verdict.CHANGED, "brings it back"),
    ],
    ids=["removed", "changed"],
)
async def test_what_somebody_else_does_to_a_service_while_its_tasks_start_is_told(
    meddle: Callable[[Cluster], Awaitable[object]], verdict: Verdict, told: str, cluster: Cluster, tmp_path: Path
):
    """`web` is watched for a minute, and `other` converges all the same."""
    (tmp_path / "app.yaml").write_text(WATCHED)
    desired = Wiring(settings.read({})).load(Source(str(tmp_path / "app.yaml")))
    made = await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)
    runs = asyncio.Event()

    def report(step: Progress) -> None:
        if isinstance(step, ServicesProgress) and all(one.running == one.wanted for one in step.assessments):
            runs.set()

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        applying = group.create_task(apply(made.plan, made.actual, cluster, ApplyOptions(timeout_s=WAIT_S), report))
        await runs.wait()
        assert not applying.done()
        await meddle(cluster)
    verdicts = {one.service: one for one in applying.result().services}
    assert verdicts["app_web"].verdict is verdict
    assert verdicts["app_other"].verdict is Verdict.CONVERGED
    assert told in problem_of(verdicts["app_web"]).hint
    again = await applied(cluster, desired)
    assert [one.problem for one in again.actions] == [None]
    assert (await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)).plan.is_empty
