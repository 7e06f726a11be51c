"""The labels that we put on what we write. All sit on the object itself, never on a container (model/labels.py)."""

from __future__ import annotations

from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.json import JsonObject
from reconciler.model.objects import ObservedObject
from reconciler.model.plan import ABSENT, Change, Origin
from reconciler.planning.context import Context
from reconciler.planning.inventory import packed

KEPT = "false"
"""The value of labels.PRUNE on what must stay."""

PRUNE_PATH = f'Labels["{labels.PRUNE}"]'


def marked(context: Context, wanted: DesiredObject, spec: JsonObject, applied: JsonObject | None = None) -> JsonObject:
    """Return a copy of `spec` with our labels: owner and commit where known, and whether it is never pruned.

    `applied` is its canonical form, to be remembered as what was last asked for. Labels of ours that the file itself
    gives are dropped: they would say something that isn't so.
    """
    ours: dict[str, str] = {}
    if context.desired.cluster:
        ours[labels.OWNER] = context.desired.cluster
    if context.desired.commit:
        ours[labels.COMMIT] = context.desired.commit
    if applied is not None:
        ours[labels.APPLIED] = packed(applied)
    if not wanted.prune:
        ours[labels.PRUNE] = KEPT
    given = spec.get("Labels") or {}
    if not ours and not given.keys() & labels.OURS:
        return dict(spec)
    return {**spec, "Labels": {**{key: value for key, value in given.items() if key not in labels.OURS}, **ours}}


def is_kept(found: ObservedObject) -> bool:
    """Return whether the object bears the label that keeps it from being pruned."""
    return found.labels.get(labels.PRUNE) == KEPT


def prune_change(context: Context, wanted: DesiredObject, found: ObservedObject) -> tuple[Change, ...]:
    """Return the change of the label that keeps an object, if there is one.

    Of our labels it is the only one that a user asks for, and hence the only one whose absence is a difference.
    """
    if wanted.prune is not is_kept(found):
        return ()
    old = found.labels.get(labels.PRUNE, ABSENT)
    return (Change(PRUNE_PATH, old, ABSENT if wanted.prune else KEPT, origin=_prune_origin(context, wanted, found)),)


def _prune_origin(context: Context, wanted: DesiredObject, found: ObservedObject) -> Origin:
    """Return who moved the label. Without a baseline: Git, as long as the labels are those that we wrote."""
    if context.baseline is not None:
        before = context.baseline.get((wanted.kind, wanted.name))
        return Origin.DRIFT if before is not None and before.prune is wanted.prune else Origin.INTENT
    return Origin.INTENT if found.labels.keys() & {labels.OWNER, labels.APPLIED, labels.COMMIT} else Origin.UNKNOWN
