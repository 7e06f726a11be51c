"""A Cluster in front of another that fails some of its calls, before or after they reach it."""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Any

from reconciler.controller.ports import Cluster
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole, ObservedObject


class Fault(enum.Enum):
    """Where a call breaks, and how that looks."""

    REFUSED_BEFORE = "5xx, nothing done"
    LOST_BEFORE = "connection dropped, nothing done"
    LOST_AFTER = "connection dropped, all done"


def error_of(fault: Fault) -> SwarmctlError:
    if fault is Fault.REFUSED_BEFORE:
        return SwarmctlError(ErrorCode.REQUEST_REFUSED, "The engine refused the request.", passing=True)
    return SwarmctlError(ErrorCode.ENGINE_UNREACHABLE, "No Docker Engine answers.", passing=True)


class FaultyCluster:
    """`faults` are {number of the call, from 0: its fault}; `calls` lists what was called, in order.

    With `always`, every call of that name fails so.
    """

    def __init__(self, inner: Cluster, faults: dict[int, Fault] | None = None, **always: Fault) -> None:
        self.inner, self.faults, self.always = inner, faults or {}, always
        self.calls: list[str] = []
        self.auths: list[str | None] = []

    @property
    def endpoint(self) -> str:
        return self.inner.endpoint

    async def _through(self, name: str, call: Any) -> Any:
        fault = self.faults.get(len(self.calls)) or self.always.get(name)
        self.calls.append(name)
        if fault in (Fault.REFUSED_BEFORE, Fault.LOST_BEFORE):
            raise error_of(fault)
        answer = await call()
        if fault is Fault.LOST_AFTER:
            raise error_of(fault)
        return answer

    async def observe(self, since: ActualState | None = None, /) -> ActualState:
        answer: ActualState = await self._through("observe", lambda: self.inner.observe(since))
        return answer

    async def get(self, kind: Kind, object_id: str) -> ObservedObject:
        answer: ObservedObject = await self._through("get", lambda: self.inner.get(kind, object_id))
        return answer

    async def create(self, kind: Kind, spec: JsonObject, *, registry_auth: str | None = None) -> str:
        self.auths.append(registry_auth)
        answer: str = await self._through("create", lambda: self.inner.create(kind, spec))
        return answer

    async def update(
        self,
        kind: Kind,
        object_id: str,
        version: int,
        spec: JsonObject,
        *,
        registry_auth: str | None = None,
        rotate: Collection[NodeRole] = (),
    ) -> None:
        self.auths.append(registry_auth)
        await self._through("update", lambda: self.inner.update(kind, object_id, version, spec, rotate=rotate))

    async def remove(self, kind: Kind, object_id: str, *, force: bool = False) -> None:
        await self._through("remove", lambda: self.inner.remove(kind, object_id, force=force))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
