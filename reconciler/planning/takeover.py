"""Objects that another repository wrote last: two that both declare one would undo each other's work for ever."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.objects import Kind
from reconciler.model.words import some
from reconciler.planning.context import Context, Draft

LISTED_MAX = 5
"""Objects that the note names."""


def note_takeovers(context: Context, draft: Draft) -> None:
    """Add one note for each other repository whose objects this one declares as well."""
    if not context.desired.cluster:
        return
    live = {kind: context.actual.by_name(kind) for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)}
    taken: dict[str, list[str]] = {}
    for wanted in context.desired.objects:
        found = live[wanted.kind].get(wanted.name)
        if found is not None and found.owner and found.owner != context.desired.cluster:
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
