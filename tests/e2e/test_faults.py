"""Every call of an apply broken once, each way that a call can break: it ends well, or says what it did not do.

A proxy in front of the engine breaks one call. Then a plain apply finishes, a plan is empty, and the swarm holds
what it holds after an apply without faults: nothing twice, nothing missing.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from reconciler import settings
from reconciler.adapters.docker.cluster import connect
from reconciler.api import serve
from reconciler.assembly import EmbeddedSettings, start_embedded_swarm
from reconciler.cli.ports import Source
from reconciler.controller import patience
from reconciler.controller.apply import ApplyOptions, apply
from reconciler.controller.ports import Cluster
from reconciler.controller.prepare import prepare
from reconciler.manager.embedded_cluster import EmbeddedCluster
from reconciler.model.desired import DesiredState
from reconciler.model.images import ResolveMode
from reconciler.model.objects import Kind
from reconciler.model.planned import PlanRequest
from reconciler.model.progress import ActionStatus, ApplyResult, Verdict
from reconciler.settings import EndpointSettings
from reconciler.wiring import Wiring
from tests.e2e.program import Program
from tests.fakes.quiet_swarm import a_quiet_swarm
from tests.lab.proxy import Call, Fault, Proxy
from tests.lab.swept import sweep

SWARM = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: faults}
spec:
  networks:
    backbone: {driver: overlay, attachable: true}
  policy: {prune: true, maxDeletePercent: 100}
"""

FIRST = """\
version: "3.8"
x-task: &task
  image: swarmctl-test:1
  command: ["sleep", "3600"]
  stop_signal: SIGKILL
  stop_grace_period: 1s
services:
  web:
    <<: *task
    networks: [backbone, inner]
    configs: [{source: app, target: /app.ini}]
    secrets: [key]
    deploy: {replicas: 1, endpoint_mode: dnsrr, update_config: {monitor: 50ms}}
  mode:
    <<: *task
    deploy: {replicas: 1, endpoint_mode: dnsrr, update_config: {monitor: 50ms}}
  old:
    <<: *task
    deploy: {replicas: 1, endpoint_mode: dnsrr, update_config: {monitor: 50ms}}
networks:
  backbone: {external: true, name: backbone}
  inner: {driver: overlay}
configs: {app: {file: app.ini}}
secrets: {key: {file: key.txt}}
"""

SECOND = (
    FIRST.replace("deploy: {replicas: 1", "deploy: {replicas: 2", 1)
    .replace("  mode:\n    <<: *task\n    deploy: {replicas: 1", "  mode:\n    <<: *task\n    deploy: {mode: global")
    .replace("  old:\n", "  new:\n")
)

HANG_S = 30.0
"""Half of a request's own time limit: a machine so slow that this is too little would fail other tests before."""


@dataclass(frozen=True)
class Revisions:
    """Two states of one repository: the second rotates a config, updates, replaces, removes and adds a service."""

    first: DesiredState
    second: DesiredState


@pytest.fixture
def revisions(tmp_path: Path) -> Revisions:
    def loaded(name: str, stack: str, content: str) -> DesiredState:
        folder = tmp_path / name
        (folder / "stacks").mkdir(parents=True)
        files = {"swarm.yaml": SWARM, "stacks/app.yaml": stack}
        files |= {"stacks/app.ini": content, "stacks/key.txt": "hush"}
        for path, text in files.items():
            (folder / path).write_text(text)
        return Wiring(settings.read({})).load(Source(str(folder)))

    return Revisions(loaded("first", FIRST, "level = 1\n"), loaded("second", SECOND, "level = 2\n"))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BACKOFF_FIRST_S", 0.01)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A unix socket's path may be 107 bytes long at most."""
    with tempfile.TemporaryDirectory(prefix="swproxy-") as folder:
        yield Path(folder)


@asynccontextmanager
async def proxied(engine_socket: Path, folder: Path) -> AsyncIterator[tuple[Proxy, Cluster]]:
    """A proxy in front of an engine, and the cluster behind both."""
    with Proxy(engine_socket, folder / "proxy.sock") as proxy:
        cluster = await connect(EndpointSettings(host=proxy.host))
        proxy.reset()
        try:
            yield proxy, cluster
        finally:
            await cluster.close()


@asynccontextmanager
async def served(inner: EmbeddedCluster, folder: Path) -> AsyncIterator[tuple[Proxy, Cluster]]:
    async with serve(inner, f"unix://{folder}/api.sock"), proxied(folder / "api.sock", folder) as opened:
        yield opened


async def applied(cluster: Cluster, desired: DesiredState, *, wait: bool = False) -> ApplyResult:
    made = await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)
    options = ApplyOptions(wait=wait, timeout_s=60, parallel=1)
    return await apply(made.plan, made.actual, cluster, options, lambda step: None)


async def names_of(cluster: Cluster) -> list[str]:
    actual = await cluster.observe()
    kinds = (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)
    return sorted(f"{kind}.{one.name}" for kind in kinds for one in actual.of_kind(kind))


def assert_all_done(result: ApplyResult, where: object) -> None:
    endings = {one.action.id: f"{one.status.value} {one.problem or ''}" for one in result.actions}
    assert all(one.status is ActionStatus.DONE for one in result.actions), (where, endings)
    assert result.lost is None, where
    assert not result.warnings, (where, result.warnings)


async def assert_finished(cluster: Cluster, desired: DesiredState, where: object) -> list[str]:
    """A plain apply has nothing left that it could not do, and after it there is nothing to do at all."""
    assert_all_done(await applied(cluster, desired), where)
    planned = await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)
    assert planned.plan.is_empty, (where, planned.plan.actions)
    return await names_of(cluster)


def _one_broken(broken: int, fault: Fault, number: int, _call: Call) -> Fault | None:
    return fault if number == broken else None


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("step", ["from nothing", "from the first"])
async def test_a_fault_on_any_call_is_got_over_or_told(
    fault: Fault, step: str, revisions: Revisions, short_folder: Path
):
    desired = revisions.first if step == "from nothing" else revisions.second

    async def prepared() -> EmbeddedCluster:
        inner = await a_quiet_swarm()
        if step != "from nothing":
            await applied(inner, revisions.first)
        return inner

    async with served(await prepared(), short_folder) as (proxy, cluster):
        assert_all_done(await applied(cluster, desired), "without a fault")
        calls, expected = list(proxy.calls), await names_of(cluster)
    assert sum(call.is_write for call in calls) >= 7, calls
    for number, call in enumerate(calls):
        where = (number, str(call), fault.value)
        async with served(await prepared(), short_folder) as (proxy, cluster):
            proxy.reset(partial(_one_broken, number, fault))
            assert_all_done(await applied(cluster, desired), where)
            assert await assert_finished(cluster, desired, where) == expected, where


async def test_faults_while_waiting_are_got_over(revisions: Revisions, tmp_path: Path, short_folder: Path):
    """Tasks really run; one call after another breaks, on its way there or back, until the services have converged."""
    async with (
        await start_embedded_swarm(EmbeddedSettings(data_dir=str(tmp_path / "swarm"))) as swarm,
        served(swarm.cluster, short_folder) as (proxy, cluster),
    ):
        made = await prepare(PlanRequest(revisions.first, ResolveMode.NEVER), cluster)
        kinds = list(Fault)
        proxy.reset(lambda number, _call: kinds[number % len(kinds)] if number % 19 == 1 else None)
        result = await apply(made.plan, made.actual, cluster, ApplyOptions(timeout_s=60), lambda step: None)
        assert_all_done(result, "every nineteenth call broken")
        assert {one.verdict for one in result.services} == {Verdict.CONVERGED}
        proxy.reset()
        await assert_finished(cluster, revisions.first, "afterwards")


async def test_an_engine_that_is_away_for_a_while_during_an_apply(
    revisions: Revisions, tmp_path: Path, short_folder: Path
):
    """What a restart looks like from outside: every connection is dropped, for two seconds, in the midst of it."""
    async with (
        await start_embedded_swarm(EmbeddedSettings(data_dir=str(tmp_path / "swarm"))) as swarm,
        served(swarm.cluster, short_folder) as (proxy, cluster),
    ):
        applying = asyncio.create_task(applied(cluster, revisions.first, wait=True))
        while sum(call.is_write for call in list(proxy.calls)) < 3:
            assert not applying.done()
            await asyncio.sleep(0.005)
        proxy.cut.set()
        await asyncio.sleep(2.0)
        assert not applying.done()
        proxy.cut.clear()
        result = await applying
        assert_all_done(result, "after the engine came back")
        assert {one.verdict for one in result.services} == {Verdict.CONVERGED}
        await assert_finished(cluster, revisions.first, "afterwards")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_does_not_wait_for_an_engine_that_hangs(
    number: signal.Signals, code: int, tmp_path: Path, short_folder: Path
):
    (tmp_path / "stack.yaml").write_text('version: "3.8"\nservices: {web: {image: "swarmctl-test:1"}}\n')
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short_folder / "silent.sock"))
        silent.listen()
        silent.settimeout(HANG_S)
        swarmctl = Program(tmp_path, {"DOCKER_HOST": f"unix://{short_folder}/silent.sock"})
        program = swarmctl.start("apply", "--yes", "stack.yaml")
        asking, _ = silent.accept()
        with asking:
            assert asking.recv(64).startswith(b"GET /_ping")
            program.send_signal(number)
            _, err = program.communicate(timeout=HANG_S)
    assert program.returncode == code, err
    assert "[interrupted]" in err


@pytest.mark.engine
async def test_answers_of_a_real_engine_that_get_lost(revisions: Revisions, lab, short_folder: Path):
    """What dockerd makes of a spec must be known for what was sent: otherwise our own object is taken for another's."""
    socket = Path(lab.manager.host.removeprefix("unix://"))
    try:
        async with proxied(socket, short_folder) as (proxy, cluster):
            for desired in (revisions.first, revisions.second):
                made = await prepare(PlanRequest(desired, ResolveMode.NEVER), cluster)
                broken: set[Call] = set()

                def each_write_once(_number: int, call: Call, broken: set[Call] = broken) -> Fault | None:
                    again = call in broken
                    broken.add(call)
                    return Fault.DROPPED_AFTER if call.is_write and not again else None

                proxy.reset(each_write_once)
                result = await apply(
                    made.plan, made.actual, cluster, ApplyOptions(wait=False, parallel=1), lambda step: None
                )
                assert_all_done(result, [str(call) for call in proxy.calls])
                proxy.reset()
                await assert_finished(cluster, desired, desired.revision)
    finally:
        sweep(lab)
