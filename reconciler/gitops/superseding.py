"""Which stacks an apply under way leaves, for what came meanwhile. Pure.

An apply that only waits for tasks holds no other stack, and is held up by none: a newer commit that asks nothing else
of its stacks leaves it alone. What was not written yet is left to the newer revision, whatever that asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from reconciler.gitops.look import Decision, Look, scope_of, scopes_of_objects
from reconciler.gitops.stages import gates, held_actions
from reconciler.gitops.state import LoopState
from reconciler.model.objects import Kind
from reconciler.model.plan import Origin, Plan
from reconciler.model.progress import ActionStatus, Verdict

_WRITTEN: Final = (ActionStatus.DONE, ActionStatus.WAITING)
_ENDED: Final = (ActionStatus.DONE, ActionStatus.FAILED, ActionStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an apply under way has come.

    `look` is what its `plan` was made of, `identity` the revision's that it brings. `statuses` are those of its actions
    that have begun, by id; `services` the verdicts on those that it awaits, by name, as of its last look.
    """

    plan: Plan
    look: Look
    scopes: Collection[str]
    identity: str
    statuses: Mapping[str, ActionStatus] = field(default_factory=dict)
    services: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def written(self) -> frozenset[str]:
        """The scopes of which all is written, and well: only their tasks are awaited."""
        left = {scope_of(one) for one in self.plan.actions if self.statuses.get(one.id) not in _WRITTEN}
        return frozenset(self.scopes) - left

    @property
    def ended(self) -> frozenset[str]:
        """The scopes of which it is known how they end, though others are awaited still.

        In them a write has failed, or all is well. An atomic stack ends with its whole apply only.
        """
        not_yet, failed = set(self.plan.atomic_stacks), set()
        for one in self.plan.actions:
            status = self.statuses.get(one.id)
            if status not in _ENDED:
                not_yet.add(scope_of(one))
            elif status is not ActionStatus.DONE:
                failed.add(scope_of(one))
        return frozenset(self.scopes) - not_yet - (self._unwell() - failed)

    def _unwell(self) -> set[str]:
        """Return the scopes with services that have not converged, or of which nothing is known yet."""
        scopes = scopes_of_objects(self.look)
        moved = {one.name: Verdict.PROGRESSING for one in self.plan.actions if one.starts_tasks}
        verdicts = {**moved, **self.services}
        behind = [name for name, verdict in verdicts.items() if verdict is not Verdict.CONVERGED]
        return {scopes.get(f"{Kind.SERVICE}.{name}", "") for name in behind}


def released(standing: Standing, look: Look, state: LoopState, now: datetime) -> frozenset[str]:
    """Return the scopes that an apply is to give back as they have ended, since there is something to write to them."""
    return standing.ended & _writable(look, state, now)


def resuming(decision: Decision, look: Look) -> Decision:
    """Return the decision to await what an earlier leader has written (`Decision.resumed`), as that one's."""
    begun, source = decision.state.begun[decision.resumed[0]], decision.state.source
    assert source.in_force is not None
    assert look.plan is not None
    brought = replace(source.in_force, commit=begun.commit, author=begun.author, subject=begun.subject)
    return replace(
        decision,
        plan=only_awaited(look.plan, look, decision.resumed),
        applying=decision.resumed,
        state=replace(decision.state, source=replace(source, in_force=brought)),
    )


def superseded(standing: Standing, look: Look, state: LoopState, now: datetime) -> frozenset[str]:
    """Return the scopes that an apply is to leave, as of this look; none: it goes on.

    What failed and what still waits to be written is left whenever another revision is in force; what is written, where
    that revision asks something else of it, and nothing holds that.
    """
    revision = state.source.in_force
    if revision is None or revision.identity == standing.identity:
        return frozenset()
    unwritten = frozenset(standing.scopes) - standing.written
    return unwritten | (standing.written & _writable(look, state, now, but=Origin.DRIFT))


def _writable(look: Look, state: LoopState, now: datetime, but: Origin | None = None) -> frozenset[str]:
    """Return the scopes in which something would be written now, if no apply were under way."""
    if look.plan is None:
        return frozenset()
    free = replace(look, busy=frozenset(), is_full=False)
    held = held_actions(free, gates(free, state, now))
    actions = (one for one in look.plan.actions if one.id not in held)
    return frozenset(scope_of(one) for one in actions if one.origin is not but)


def only_awaited(plan: Plan, look: Look, scopes: Collection[str]) -> Plan:
    """Return a plan that writes nothing, and whose services are those of `scopes`: their end is still to be seen.

    `look` is the one that `plan` was made of.
    """
    names = scopes_of_objects(look)
    return replace(
        plan,
        actions=(),
        services=tuple(name for name in plan.services if names.get(f"{Kind.SERVICE}.{name}") in scopes),
        atomic_stacks=tuple(name for name in plan.atomic_stacks if name in scopes),
        inventory=None,
        topology=None,
    )
