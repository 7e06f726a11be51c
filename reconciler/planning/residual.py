"""What a manifest would still have to say of a service, so that a plan finds no difference."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind
from reconciler.planning import canonical
from reconciler.planning.contents import plan_contents, renamed_references
from reconciler.planning.context import Context, Draft
from reconciler.planning.differ import changes_between
from reconciler.planning.services import comparable


def residuals(desired: DesiredState, actual: ActualState) -> dict[str, JsonObject]:
    """Return {service: patch} for the services of `desired` that the cluster has in another form.

    Merged over the wanted spec by RFC 7386, a patch makes it equal to the live one. It names networks, secrets and
    configs, and has no label of ours. Services that are equal, or that the cluster lacks, are left out.
    """
    context = Context.of(desired, actual)
    real_names = plan_contents(context, Draft())
    live = actual.by_name(Kind.SERVICE)
    patches: dict[str, JsonObject] = {}
    for wanted in desired.of_kind(Kind.SERVICE):
        found = live.get(wanted.name)
        if found is None:
            continue
        old = comparable(context, found.spec)
        new = comparable(context, renamed_references(wanted.spec, real_names))
        canonical.adopt_pinned_image(new, old)
        if patch := dict(_patch(new, old)):
            patches[wanted.name] = patch
    return patches


def _patch(wanted: JsonObject, live: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    for key in sorted(wanted.keys() | live.keys()):
        if key not in live:
            yield key, None
        elif key not in wanted:
            yield key, live[key]
        elif isinstance(wanted[key], dict) and isinstance(live[key], dict):
            if inner := dict(_patch(wanted[key], live[key])):
                yield key, inner
        elif changes_between(wanted[key], live[key]):
            yield key, live[key]
