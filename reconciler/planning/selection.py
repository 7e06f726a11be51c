"""A plan for some stacks only."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from msgspec.structs import replace

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState, TokenPolicy
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.planning.context import NO_CLUSTER, Context
from reconciler.planning.inventory import INVENTORIED_KINDS


def check_stacks(desired: DesiredState, actual: ActualState, stacks: Collection[str]) -> None:
    """Raise SwarmctlError (usage) for a name that is no stack of the repository, now or formerly.

    A stack that it declares no more, and of which the swarm still has something that it owns, can be chosen: planning
    for that one alone prunes it.
    """
    declared = {stack.name for stack in desired.stacks}
    if not set(stacks) - declared:
        return
    left = left_behind(desired, actual)
    unknown = sorted(set(stacks) - declared - left)
    if not unknown:
        return
    alike = difflib.get_close_matches(unknown[0], sorted(declared | left), n=1)
    listed = f"Its stacks are {', '.join(sorted(declared))}." if declared else "It declares no stack."
    if left:
        there = "in the base" if actual.endpoint == NO_CLUSTER else "still in the swarm"
        listed += f" Declared no more, and {there}: {', '.join(sorted(left))}."
    raise SwarmctlError(
        ErrorCode.USAGE,
        f"The repository declares no stack {', '.join(unknown)}.",
        why=listed,
        hint=f"Did you mean {alike[0]}?" if alike else "Give the name of one of its stacks to --stack.",
    )


def left_behind(desired: DesiredState, actual: ActualState) -> frozenset[str]:
    """Return the stacks of which the swarm has objects that the repository owns, and which it declares no more."""
    context = Context.of(desired, actual)
    owned = {found.stack for kind in INVENTORIED_KINDS for found in actual.of_kind(kind) if context.owned(found)}
    return frozenset(name for name in owned if name) - {stack.name for stack in desired.stacks}


def narrowed(desired: DesiredState, stacks: Collection[str]) -> DesiredState:
    """Return what `desired` asks of `stacks`, and nothing else: no nodes, settings, tokens or other objects.

    A stack that one of them depends on, and that isn't chosen itself, is taken to be as it should.
    """
    return replace(
        desired,
        stacks=tuple(stack for stack in desired.stacks if stack.name in stacks),
        objects=tuple(wanted for wanted in desired.objects if wanted.stack in stacks),
        externals=tuple(reference for reference in desired.externals if reference.stack in stacks),
        nodes=(),
        settings={},
        settings_places={},
        join_tokens=TokenPolicy(),
    )
