"""Which stacks an apply under way leaves, for what came meanwhile, and which have ended before it has. Pure.

An apply that only waits for tasks holds no other stack, and is held up by none: a newer commit that asks nothing else
of its stacks leaves it alone. What was not written yet is left to the newer revision, whatever that asks for. That a
stack has failed is told at once, however long others take; that all is well is told of all in one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from reconciler.gitops.look import Decision, Look, scope_of, scopes_of_objects
from reconciler.gitops.stages import gates, held_actions
from reconciler.gitops.state import CLUSTER, LoopState
from reconciler.model.objects import Kind
from reconciler.model.plan import Origin, Plan
from reconciler.model.progress import ActionStatus, Verdict

_WRITTEN: Final = (ActionStatus.DONE, ActionStatus.WAITING)
_ENDED: Final = (ActionStatus.DONE, ActionStatus.FAILED, ActionStatus.SKIPPED)
_BAD: Final = frozenset(Verdict) - {Verdict.CONVERGED, Verdict.PROGRESSING}


class Standing(msgspec.Struct, frozen=True):
    """How far an apply under way has come.

    `look` is what its `plan` was made of, `identity` the revision's that it brings. `statuses` are those of its actions
    that have begun, by id; `services` the verdicts on those that it awaits, by name, as of its last look. `undone` are
    the stacks that it has put back.
    """

    plan: Plan
    look: Look
    scopes: Collection[str]
    identity: str
    statuses: Mapping[str, ActionStatus] = msgspec.field(default_factory=dict)
    services: Mapping[str, Verdict] = msgspec.field(default_factory=dict)
    undone: Collection[str] = ()

    @property
    def written(self) -> frozenset[str]:
        """The scopes of which all is written, and well: only their tasks are awaited."""
        left = {scope_of(one) for one in self.plan.actions if self.statuses.get(one.id) not in _WRITTEN}
        return frozenset(self.scopes) - left

    @property
    def ended(self) -> frozenset[str]:
        """The scopes of which it is known how they end, though others are awaited still.

        In them a write has failed, or nothing is on its way any more. An atomic stack ends with its whole apply only,
        or once it was put back.
        """
        not_yet, failed = set(self.plan.atomic_stacks) - set(self.undone), set(self.undone)
        for one in self.plan.actions:
            status = self.statuses.get(one.id)
            if status not in _ENDED:
                not_yet.add(scope_of(one))
            elif status is not ActionStatus.DONE:
                failed.add(scope_of(one))
        return frozenset(self.scopes) - not_yet - (self._scopes_with({Verdict.PROGRESSING}) - failed)

    @property
    def failed(self) -> frozenset[str]:
        """Those that have ended badly, and those of which something was left because of that."""
        return self.ended & (self._broken().union(self.undone) | self._scopes_with(_BAD))

    @property
    def is_ending(self) -> bool:
        """Whether nothing is awaited any more: all that is left is to write down what has come of it."""
        return self.ended == frozenset(self.scopes) and Verdict.PROGRESSING not in self.services.values()

    def _broken(self) -> set[str]:
        """Return the scopes with actions that have failed, or that were not begun because of such a one."""
        ids = {one.id for one in self.plan.actions if self.statuses.get(one.id) is ActionStatus.FAILED}
        for one in self.plan.actions:  # which come in an order in which they can be carried out
            if self.statuses.get(one.id) is ActionStatus.SKIPPED and not ids.isdisjoint(one.after):
                ids.add(one.id)
        return {scope_of(one) for one in self.plan.actions if one.id in ids}

    def _scopes_with(self, verdicts: Collection[Verdict]) -> set[str]:
        """Return the scopes with such services. What was not looked at yet is on its way.

        An apply that writes nothing awaits what an earlier one has written.
        """
        scopes = scopes_of_objects(self.look)
        moved = [one.name for one in self.plan.actions if one.starts_tasks] if self.plan.actions else self.plan.services
        known = {**dict.fromkeys(moved, Verdict.PROGRESSING), **self.services}
        found = [name for name, verdict in known.items() if verdict in verdicts]
        return {scopes.get(f"{Kind.SERVICE}.{name}", "") for name in found}


def over(standing: Standing) -> frozenset[str]:
    """Return the scopes whose end is to be told now, before the apply has ended: a failure must not wait for others.

    What is well waits for the other stacks, so that one entry and one alert tell of all that a commit brings; but for
    no node: emptying one, or giving it another role, takes as long as it takes.
    """
    if standing.is_ending:
        return frozenset()
    ended = standing.ended
    return ended if frozenset(standing.scopes) - ended == {CLUSTER} else standing.failed


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
