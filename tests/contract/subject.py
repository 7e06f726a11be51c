"""A backend under test, and what the contract suite says about it in its own words."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.tasks import ObservedTask, TaskState

Tokens: TypeAlias = dict[NodeRole, str]

WAIT_S = 45.0
POLL_S = 0.1
TRIES = 20
SECOND = 1_000_000_000
FOREVER = ("sleep", "100000")


@dataclass(frozen=True)
class Subject:
    """`tokens` reads the join tokens past the port, which never shows them."""

    backend: str
    cluster: Cluster
    tokens: Callable[[], Tokens]

    async def until(self, promise: str, holds: Callable[[ActualState], Any]) -> ActualState:
        """Return the first state in which the promise holds; fail with what was seen when it never does."""
        deadline = time.monotonic() + WAIT_S
        while True:
            actual = await self.cluster.observe()
            if holds(actual):
                return actual
            if time.monotonic() > deadline:
                seen = "\n".join(f"  {task}" for task in actual.tasks)
                pytest.fail(f"It never came true that {promise}. Tasks at last:\n{seen}")
            await asyncio.sleep(POLL_S)

    async def running(self, service_id: str, count: int) -> list[ObservedTask]:
        """Return the tasks of a service once exactly `count` run, as it is now, and nothing else should."""

        def settled(actual: ActualState) -> bool:
            wanted = live(actual, service_id)
            return len(wanted) == count and all(task.state is TaskState.RUNNING for task in wanted)

        return live(await self.until(f"{count} tasks run", settled), service_id)

    async def nodes(self) -> tuple[ObservedObject, ...]:
        return (await self.cluster.observe()).nodes

    async def worker(self) -> ObservedObject:
        """Return a node that is no manager."""
        return next(node for node in await self.nodes() if node.spec["Role"] == NodeRole.WORKER)

    async def update(self, kind: Kind, object_id: str, **changes: Any) -> None:
        """Put the object's spec with some top-level fields replaced in place of what is there now.

        Again where the swarm itself moved the version in between, as Docker does when a node's state changes.
        """
        for tries_left in reversed(range(TRIES)):
            seen = await self.at_rest(kind, object_id)
            try:
                await self.cluster.update(kind, object_id, seen.version, {**seen.spec, **changes})
            except SwarmctlError as error:
                if error.code is not ErrorCode.STALE_VERSION or not tries_left:
                    raise
            else:
                return

    async def at_rest(self, kind: Kind, object_id: str) -> ObservedObject:
        """Return an object once its version moves no more by itself.

        Docker's allocator gives a new service the endpoint that it asks for in a write of its own, which raises the
        version.
        """
        for _ in range(round(WAIT_S / POLL_S)):
            seen = await self.cluster.get(kind, object_id)
            if not seen.spec.get("EndpointSpec") or seen.dig("Endpoint", "Spec"):
                return seen
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"The service never gets an endpoint: {seen.raw}")

    @asynccontextmanager
    async def refusing(self, *codes: ErrorCode) -> AsyncIterator[None]:
        """Expect one of these errors of what is awaited inside."""
        with pytest.raises(SwarmctlError) as raised:
            yield
        assert raised.value.code in codes, raised.value.problems


def live(actual: ActualState, service_id: str) -> list[ObservedTask]:
    """Return the tasks of a service that should run, by slot."""
    wanted = [task for task in actual.tasks_of(service_id) if task.desired_state <= TaskState.RUNNING]
    return sorted(wanted, key=lambda task: (task.slot, task.node_id))


def service(
    name: str, *command: str, replicas: int | None = 1, container: JsonObject | None = None, **task: Any
) -> JsonObject:
    """Return the spec of a service that runs `command`; `replicas` None makes it global.

    Its programs exist both in the lab's images and on the host, and stop within a second.
    """
    mode: JsonObject = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    return {
        "Name": name,
        "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "swarmctl-test:1",
                "Command": list(command or FOREVER),
                "StopGracePeriod": SECOND,
                "StopSignal": "SIGKILL",  # as process 1 of a container, busybox ignores all others
                **(container or {}),
            },
            "RestartPolicy": {"Condition": "any", "Delay": SECOND // 10, "MaxAttempts": 0},
            **task,
        },
        "Mode": mode,
    }


def secret(name: str, content: bytes = b"hush", **labels: str) -> JsonObject:
    return {"Name": name, "Labels": labels, "Data": base64.b64encode(content).decode()}


def overlay(name: str, **fields: Any) -> JsonObject:
    return {"Name": name, "Driver": "overlay", "Labels": {}, **fields}


def missing(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Return where `found` lacks something of `wanted`; what it has besides is its own business."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [lack for key in wanted for lack in missing(wanted[key], found.get(key), f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [lack for index, pair in pairs for lack in missing(*pair, f"{path}[{index}]")]
    return [] if wanted == found else [f"{path}: {wanted!r} became {found!r}"]
