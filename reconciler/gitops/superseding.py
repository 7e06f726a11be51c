"""Which stacks an apply under way leaves, for what came meanwhile. Pure.

An apply that only waits for tasks holds no other stack, and is held up by none: a newer commit that asks nothing else
of its stacks leaves it alone. What was not written yet is left to the newer revision, whatever that asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.gitops.look import Look, scope_of, scopes_of_objects
from reconciler.gitops.stages import gates
from reconciler.gitops.state import LoopState
from reconciler.model.objects import Kind
from reconciler.model.plan import Origin, Plan
from reconciler.model.progress import ActionStatus

Statuses = Mapping[str, ActionStatus]
"""{action id: where it stands}, of those that have begun."""

_WRITTEN = (ActionStatus.DONE, ActionStatus.WAITING)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an apply under way has come: what it carries out of which revision, and how its writes stand."""

    plan: Plan
    scopes: Collection[str]
    identity: str
    statuses: Statuses

    @property
    def written(self) -> frozenset[str]:
        """The scopes of which all is written, and well: only their tasks are awaited."""
        left = {scope_of(one) for one in self.plan.actions if self.statuses.get(one.id) not in _WRITTEN}
        return frozenset(self.scopes) - left


def superseded(standing: Standing, look: Look, state: LoopState, now: datetime) -> frozenset[str]:
    """Return the scopes that an apply is to leave, as of this look; none: it goes on.

    What failed and what still waits to be written is left whenever another revision is in force; what is written, where
    that revision asks something else of it, and nothing holds that.
    """
    revision = state.source.in_force
    if revision is None or revision.identity == standing.identity:
        return frozenset()
    unwritten = frozenset(standing.scopes) - standing.written
    return unwritten | (standing.written & _asked_anew(look, state, now))


def _asked_anew(look: Look, state: LoopState, now: datetime) -> frozenset[str]:
    if look.plan is None:
        return frozenset()
    asked = {scope_of(action) for action in look.plan.actions if action.origin is not Origin.DRIFT}
    return frozenset(asked - gates(replace(look, busy=frozenset()), state, now).keys())


def only_awaited(plan: Plan, scopes: Collection[str], look: Look) -> Plan:
    """Return a plan that writes nothing, and whose services are those of `scopes`: their end is still to be seen.

    `look` is the one that the plan was made of.
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
