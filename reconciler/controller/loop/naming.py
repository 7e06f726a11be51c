"""Which scope of which sources people mean by a name: STACK, or SOURCE/STACK where several sources have one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from reconciler.gitops.conditions import NODE
from reconciler.gitops.state import CLUSTER, EVERYTHING, LoopState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.plan import NO_STACK

NAMES_TOLD_MAX: Final = 20


class Named(msgspec.Struct, frozen=True):
    """The loop's own name of a scope, and the sources that are meant: all where nothing else was said."""

    scope: str
    sources: tuple[str, ...]


def named(text: str, states: Mapping[str, LoopState]) -> Named:
    """Return what `text` means, be there such a stack or not; "*" and "(cluster)" are of all sources.

    A name that several sources have means one of them, and nobody knows which. Raises stack-ambiguous.
    """
    source, slash, rest = text.partition("/")
    if slash and rest and source in states:
        return Named(_scope(rest), (source,))
    scope = _scope(text)
    having = [name for name, state in states.items() if scope in state.scopes]
    if len(having) > 1 and scope not in (CLUSTER, EVERYTHING) and not scope.startswith(NODE):
        full = [f"{name}/{text}" for name in sorted(having)]
        raise SwarmctlError(
            ErrorCode.STACK_AMBIGUOUS,
            f"{len(having)} sources have a stack {text}: {', '.join(full)}.",
            why="Nothing was done: the name does not say which of them is meant.",
            hint=f"Name its source as well, as in {full[0]}.",
        )
    return Named(scope, tuple(states))


def existing(text: str, states: Mapping[str, LoopState]) -> Named:
    """Return the same with those sources only that have the scope. Raises object-not-found."""
    found = named(text, states)
    if found.scope == EVERYTHING:
        return found
    having = tuple(name for name in found.sources if found.scope in states[name].scopes)
    if not having or found.scope.startswith(NODE):  # nodes have conditions; what is written to them is the cluster's
        known = sorted({name for one in found.sources for name in states[one].scopes if not name.startswith(NODE)})
        stacks = [name for name in known if name != CLUSTER]
        whose = f"{found.sources[0]} has" if len(found.sources) == 1 else "The sources have"
        raise SwarmctlError(
            ErrorCode.OBJECT_NOT_FOUND,
            f"There is no stack {text}.",
            why=f"{whose} {', '.join(stacks[:NAMES_TOLD_MAX]) or 'none'}.",
            hint="`swarmctl status` lists them.",
        )
    return Named(found.scope, having)


def _scope(name: str) -> str:
    return CLUSTER if name == NO_STACK else name
