"""Whether services that others need, and that an apply does not write to, are as they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from reconciler.controller.assess import apart
from reconciler.controller.convergence import Waiting, await_convergence
from reconciler.controller.crashes import assessed_one
from reconciler.model.errors import SwarmctlError
from reconciler.model.plan import Action
from reconciler.model.progress import Verdict

AS_IT_SHOULD_BE = (Verdict.CONVERGED, Verdict.ROLLED_BACK)
"""What was rolled back, and is not written to again, runs what is asked for now."""


class Readiness:
    """One wait for each needed service that was not ready when the plan was made, whoever needs it."""

    def __init__(self, waiting: Waiting, actions: Iterable[Action]) -> None:
        self._waiting = waiting
        self._needed = frozenset(name for action in actions for name in action.awaits)
        self._waits: dict[str, asyncio.Task[str]] = {}

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Begin to wait for those that are not ready, as part of `group`."""
        before = self._waiting.before
        if before is None or not self._needed:
            return
        for service, own in apart(before, self._needed):
            if assessed_one(service, own).verdict not in AS_IT_SHOULD_BE:
                self._waits[service.name] = group.create_task(self._ended(service.name))

    async def why_not(self, action: Action) -> str:
        """Wait for all that an action awaits; return why it can't be carried out, "" when it can."""
        for name in action.awaits:
            if name in self._waits and (why := await asyncio.shield(self._waits[name])):
                return why
        return ""

    async def _ended(self, name: str) -> str:
        try:
            outcome = await await_convergence(self._waiting, (name,))
        except SwarmctlError as error:
            return error.problems[0].what
        [look] = outcome.assessments
        if look.verdict in AS_IT_SHOULD_BE:
            return ""
        return f"service.{name}, which must have converged before, {look.verdict.said}."
