"""Objects that another repository wrote last: two that both declare one would undo each other's work for ever."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.words import some
from reconciler.planning.context import Context, Draft

LISTED_MAX = 5
"""Objects that the note names."""


def block_contested(context: Context, draft: Draft) -> frozenset[tuple[Kind, str]]:
    """Return the objects that a repository which is applied beside this one declares and has, and block each.

    Once that one declares it no more, this one takes it over, whatever the order of their commits.
    """
    contested: dict[tuple[Kind, str], None] = {}
    for wanted in context.desired.objects:
        owner = context.options.elsewhere.get((wanted.kind, wanted.name))
        found = context.actual.by_name(wanted.kind).get(wanted.name) if owner else None
        if found is not None and found.owner == owner and owner != context.desired.cluster:
            contested[wanted.kind, wanted.name] = None
            problem = Problem(
                ErrorCode.OWNED_ELSEWHERE,
                f"Repository {owner} declares {wanted.kind} {wanted.name} as well, and wrote it last.",
                why="Both are applied here: each would undo the other's work for ever.",
                hint=f"Declare it in one of them only: once it is gone from {owner}, this one takes it over.",
                place=wanted.place,
            )
            draft.block(wanted.kind, wanted.name, problem)
    return frozenset(contested)


def note_takeovers(context: Context, draft: Draft) -> None:
    """Add one note for each other repository whose objects this one declares as well."""
    if not context.desired.cluster:
        return
    live = {kind: context.actual.by_name(kind) for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)}
    taken: dict[str, list[str]] = {}
    for wanted in context.desired.objects:
        found = live[wanted.kind].get(wanted.name)
        is_left = (wanted.kind, wanted.name) in context.contested
        if found is not None and found.owner and found.owner != context.desired.cluster and not is_left:
            taken.setdefault(found.owner, []).append(f"{wanted.kind} {wanted.name}")
    for owner, names in taken.items():
        draft.notes.append(
            Problem(
                ErrorCode.OWNED_ELSEWHERE,
                f"Last written by repository {owner}, and declared here too: {some(names, LISTED_MAX)}.",
                why=f"Their label says so; this repository's metadata.name is {context.desired.cluster}.",
                hint="Declare each object in one repository only. An apply takes over what it changes.",
                severity=Severity.WARNING,
            )
        )
