"""Stacks that can't be applied as a whole, and are therefore left as they are.

A stack whose external network, secret or config is missing would be deployed in part: `docker stack deploy` refuses it
before it creates anything. So would one of which another repository has an object (planning/takeover.py). Stacks that
depend on a held one wait with it; all others go on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from reconciler.model.desired import ExternalReference, Stack
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import Blocked
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.versions import versions_of


def hold_stacks(context: Context, draft: Draft) -> frozenset[str]:
    """Return the names of the stacks to leave alone, and block each with its reason."""
    held = {one.stack for one in context.desired.objects if (one.kind, one.name) in context.contested and one.stack}
    for reference in missing_externals(context):
        if reference.stack is not None:
            held.add(reference.stack)
            draft.blocked.append(Blocked(action_id(reference.kind, reference.name), missing(reference)))
    waiting = True
    while waiting:
        waiting = False
        for stack in context.desired.stacks:
            needed = next((name for name in stack.depends_on if name in held), None)
            if needed is not None and stack.name not in held:
                held.add(stack.name)
                draft.blocked.append(Blocked(f"stack.{stack.name}", _has_to_wait(stack, needed)))
                waiting = True
    return frozenset(held)


def missing_externals(context: Context) -> Iterator[ExternalReference]:
    """Yield the external objects that some service uses, and that neither the cluster nor the repository has.

    Of a cluster that is only imagined nobody knows what else it has: then none is missing.
    """
    if context.is_imagined:
        return
    names = {kind: context.actual.by_name(kind).keys() for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG)}
    declared = {(wanted.kind, wanted.name) for wanted in context.desired.objects}
    if others := {(wanted.kind, wanted.name) for wanted in context.used_of_others()}:
        # A rotation has left them under another name, and may have removed the one of the stack file.
        declared |= others & versions_of(context.actual).by_name.keys()
    predefined = {name for name, _ in context.actual.predefined_networks}
    for reference in context.desired.externals:
        there = reference.name in names[reference.kind] or reference.name in predefined
        if not there and (reference.kind, reference.name) not in declared:
            yield reference


def missing(reference: ExternalReference) -> Problem:
    """Return what to say of a missing external object."""
    user = f"Stack {reference.stack}" if reference.stack else "A service outside stacks"
    why = f"{reference.place.key_path or reference.name} is declared external, so no plan creates it."
    how = ""
    if reference.kind is Kind.NETWORK:
        how = f" (`docker network create --driver overlay {shlex.quote(reference.name)}`)"
        why += " A network of one node, as a bridge is, does not count: its scope is not the swarm."
    return Problem(
        ErrorCode.UNDEFINED_REFERENCE,
        f"{user} uses the external {reference.kind} {reference.name}, which does not exist in the swarm.",
        why=why,
        hint=f"Create it first{how}, or declare it without `external` ({reference.place}).",
        place=reference.place,
    )


def _has_to_wait(stack: Stack, needed: str) -> Problem:
    return Problem(
        ErrorCode.PLAN_BLOCKED,
        f"Stack {stack.name} has to wait for stack {needed}.",
        why=f"It depends on {needed}, which can't be applied now.",
        hint="Mend that one first.",
        place=stack.place_of_need(needed),
    )
