"""A plan for some stacks only."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import replace

from reconciler.model.desired import DesiredState, TokenPolicy
from reconciler.model.errors import ErrorCode, SwarmctlError


def check_stacks(desired: DesiredState, stacks: Collection[str]) -> None:
    """Raise SwarmctlError (usage) when the repository declares no stack of one of these names."""
    known = [stack.name for stack in desired.stacks]
    unknown = sorted(set(stacks) - set(known))
    if not unknown:
        return
    alike = difflib.get_close_matches(unknown[0], known, n=1)
    listed = f"Its stacks are {', '.join(sorted(known))}." if known else "It declares no stack."
    raise SwarmctlError(
        ErrorCode.USAGE,
        f"The repository declares no stack {', '.join(unknown)}.",
        why=listed,
        hint=f"Did you mean {alike[0]}?" if alike else "Give the name of one of its stacks to --stack.",
    )


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
