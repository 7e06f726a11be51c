"""A node on its own engine: one container that the engine hangs on holds up nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reconciler.adapters.docker_runtime import containers, runtime
from reconciler.adapters.docker_runtime.container import NETWORK_LABEL, TASK_LABEL
from reconciler.adapters.docker_runtime.engine import EngineRefused
from reconciler.adapters.docker_runtime.networks import BridgeNetworks
from reconciler.adapters.docker_runtime.runtime import DockerRuntime, StartedContainer
from reconciler.model.assignments import Assignment, AttachedNetwork
from reconciler.model.tasks import TaskState


class HangingEngine:
    """An engine that lists two containers, and never comes to an end with the removal of the first."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.given_up: list[str] = []

    async def get(self, *_: str, query: Any = None) -> Any:
        return [{"Id": one, "Labels": {TASK_LABEL: f"task-{one}"}, "State": "running"} for one in ("one", "two")]

    async def ask(self, method: str, *steps: str, query: Any = None) -> bytes:
        assert (method, steps[0]) == ("DELETE", "containers")
        if steps[1] == "one":
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append("one")
        self.removed.append(steps[1])
        return b""


async def test_a_removal_that_hangs_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "RECOVER_WAIT_S", 0.05)
    engine = HangingEngine()
    node: Any = DockerRuntime("node", engine)  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(60):
        await node.recover((), ())
        assert (engine.removed, engine.given_up) == (["two"], [])
        assert "takes its time to end containers that nobody needs any more: 1" in caplog.text
        await node.let_go()
    assert engine.given_up == ["one"]


class SlowEngine:
    """An engine with one container, which it does not look at when it is first asked."""

    def __init__(self) -> None:
        self.refusals = [EngineRefused(0, "the node's engine does not answer (TimeoutError)")]

    async def get(self, *steps: str, query: Any = None) -> Any:
        if steps == ("containers", "json"):
            return [{"Id": "one", "Labels": {TASK_LABEL: "t1"}, "State": "running"}]
        if self.refusals:
            raise self.refusals.pop()
        return {"Id": "one", "State": {"Status": "running", "Pid": 42}}

    async def answers(self) -> bool:
        return not self.refusals


class AbsentEngine:
    """An engine that is away for the first requests of each kind; `made` are containers that it was asked for."""

    def __init__(self, *, answers_others: bool = False) -> None:
        self.answers_others = answers_others
        self.away: dict[str, int] = {"create": 5, "start": 5}
        self.calls: list[str] = []

    async def get(self, *steps: str, query: Any = None) -> Any:
        if steps[0] == "images":
            return {}
        return {"Id": "one", "State": {"Status": "running", "Pid": 42}}

    async def post(self, *steps: str, body: Any = None, query: Any = None) -> Any:
        self.calls.append(steps[-1])
        self.away[steps[-1]] -= 1
        if self.away[steps[-1]] >= 0:
            raise EngineRefused(0, "the node's engine does not answer (UnixClientConnectorError)")
        return {"Id": "one"}

    async def answers(self) -> bool:
        return self.answers_others


TASK = Assignment(
    "t1", "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, {"ContainerSpec": {"Image": "app@sha256:0"}}
)


async def test_a_task_waits_for_an_engine_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "RETRY_S", 0.0)
    engine = AbsentEngine()
    node: Any = DockerRuntime("node", engine)  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(60):
        await node.prepare(TASK)
        assert await node.start(TASK) == StartedContainer(42, "", "one", ())
    assert engine.calls == ["create"] * 6 + ["start"] * 6


async def test_an_engine_that_gives_no_answer_to_one_request_only_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(containers, "RETRY_S", 0.0)
    engine = AbsentEngine(answers_others=True)
    node: Any = DockerRuntime("node", engine)  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(60):
        with pytest.raises(EngineRefused, match="does not answer"):
            await node.prepare(TASK)
    assert engine.calls == ["create"] * containers.ATTEMPTS_MAX


async def test_a_container_is_adopted_once_its_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "RETRY_S", 0.0)
    node: Any = DockerRuntime("node", SlowEngine())  # type: ignore[arg-type]  # as much of one as is asked here
    await node.recover(["t1"], ())
    task = Assignment("t1", "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, {"ContainerSpec": {}})
    async with asyncio.timeout(60):
        assert await node.adopt(task) == StartedContainer(42, "", "one", ())
        await node.let_go()


class SilentEngine:
    """An engine that begins to answer with the second request."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, *_: str, query: Any = None) -> Any:
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        return []


async def test_an_engine_that_does_not_answer_is_soon_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "RECOVER_WAIT_S", 0.05)
    node: Any = DockerRuntime("node", SilentEngine())  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(60):
        with pytest.raises(EngineRefused, match="does not list its containers within"):
            await node.recover((), ())
        await node.recover((), ())
        await node.let_go()


class NetworksOfAnEngine:
    """An engine that never comes to an end with a network called "hung"."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    async def get(self, _: str, name: str) -> Any:
        if name == "hung":
            await asyncio.Event().wait()
        if name not in self.known:
            raise EngineRefused(404, f"network {name} not found")
        return self.known[name]

    async def post(self, *_: str, body: Any) -> None:
        self.known[body["Name"]] = body

    async def ask(self, _: str, __: str, name: str) -> None:
        del self.known[name]


class NetworkLeftBehind:
    """An engine with a network "net" of a former swarm, that one endpoint is on, of a container `there` or gone."""

    def __init__(self, *, there: bool) -> None:
        self.there = there
        self.networks: dict[str, str] = {"net": "of-before"}
        self.endpoints = {"ep-1": {"Name": "web.1.x"}}
        self.busy = 2

    async def get(self, *steps: str, query: Any = None) -> Any:
        if steps[0] == "containers":
            if self.there:
                return {"Id": steps[1]}
            raise EngineRefused(404, "No such container")
        if steps[1] not in self.networks:
            raise EngineRefused(404, "network not found")
        return {"Labels": {NETWORK_LABEL: self.networks[steps[1]]}, "Containers": self.endpoints}

    async def post(self, *steps: str, body: Any = None) -> Any:
        if steps[-1] == "disconnect":
            assert body == {"Container": "web.1.x", "Force": True}
            self.endpoints = {}
        elif body["Name"] in self.networks:
            raise EngineRefused(409, "network with name net already exists")
        else:
            self.networks[body["Name"]] = body["Labels"][NETWORK_LABEL]

    async def ask(self, method: str, *steps: str, query: Any = None) -> bytes:
        assert (method, steps[0]) == ("DELETE", "networks")
        if self.endpoints:
            self.busy -= 1
            self.endpoints = self.endpoints if self.busy else {}
            raise EngineRefused(403, "network has active endpoints")
        del self.networks[steps[1]]
        return b""


async def test_a_network_that_a_former_swarm_left_is_removed_with_the_endpoints_of_containers_that_are_gone() -> None:
    engine: Any = NetworkLeftBehind(there=False)
    await BridgeNetworks(engine).join(on_network("t1", "net"))
    assert engine.networks == {"net": "id-of-net"}


async def test_a_network_of_another_swarm_that_is_in_use_is_told_as_that() -> None:
    engine: Any = NetworkLeftBehind(there=True)
    with pytest.raises(EngineRefused, match=r"another swarm's on this engine, with containers on it: web\.1\.x"):
        await BridgeNetworks(engine).join(on_network("t1", "net"))
    assert engine.networks == {"net": "of-before"}


async def test_who_leaves_removes_a_network_once_the_engine_has_let_go_of_its_last_container() -> None:
    engine: Any = NetworkLeftBehind(there=True)
    await BridgeNetworks(engine).close(["net"])
    assert engine.networks == {}


def on_network(task_id: str, name: str) -> Assignment:
    attached = AttachedNetwork(f"id-of-{name}", name, "overlay", "", "")
    spec: dict[str, Any] = {"ContainerSpec": {}}
    return Assignment(task_id, "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, spec, networks=(attached,))


async def test_a_network_that_the_engine_hangs_on_holds_up_no_other() -> None:
    engine = NetworksOfAnEngine()
    networks = BridgeNetworks(engine)  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(60):
        hanging = asyncio.ensure_future(networks.join(on_network("t1", "hung")))
        await asyncio.sleep(0)
        await networks.join(on_network("t2", "net"))
        await networks.join(on_network("t3", "net"))
        await networks.leave("t2")
        assert list(engine.known) == ["net"]
        await networks.sweep(["net"])
        assert list(engine.known) == ["net"]
        await networks.leave("t3")
        assert not engine.known
        hanging.cancel()


class LateEngine:
    """An engine that is away when it is listed a second time, and has made a container when it is back."""

    def __init__(self) -> None:
        self.lists = 0
        self.removed: list[str] = []

    async def get(self, *_: str, query: Any = None) -> Any:
        self.lists += 1
        if self.lists == 2:
            raise EngineRefused(0, "the node's engine does not answer (ServerDisconnectedError)")
        return [{"Id": "late", "Labels": {TASK_LABEL: "gone"}, "State": "created"}] if self.lists > 2 else []

    async def ask(self, method: str, *steps: str, query: Any = None) -> bytes:
        self.removed.append(steps[1])
        return b""

    async def answers(self) -> bool:
        return False


async def test_what_came_late_is_looked_for_until_the_engine_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LATE_LOOK_S", 0.0)
    monkeypatch.setattr(containers, "RETRY_S", 0.0)
    engine = LateEngine()
    node: Any = DockerRuntime("node", engine)  # type: ignore[arg-type]  # as much of one as is asked here
    async with asyncio.timeout(60):
        await node.recover((), ())
        await node._late_look
    assert engine.removed == ["late"]


class StartingEngine:
    """An engine that is starting a container while it is asked to kill it, and lets it run then."""

    def __init__(self) -> None:
        self.kills = 0
        self.ended = asyncio.Event()

    async def ask(self, method: str, *steps: str, query: Any = None) -> bytes:
        self.kills += 1
        if self.kills == 1:
            raise EngineRefused(409, "Container one is not running")
        self.ended.set()
        return b""

    async def post(self, *steps: str, waits: bool = False) -> Any:
        await self.ended.wait()
        return {"StatusCode": 137}


async def test_a_container_that_was_just_starting_is_killed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "RETRY_S", 0.01)
    engine = StartingEngine()
    async with asyncio.timeout(60):
        await containers.NodeContainers("node", engine).kill("one")  # type: ignore[arg-type]  # as much of one as is asked
    assert engine.kills == 2
