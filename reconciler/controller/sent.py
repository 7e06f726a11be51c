"""Whether what the cluster has is what we sent: how a write is known to have gone through when its answer was lost.

Pure. The daemon stores a spec nearly as it was sent (planning/canonical.py), so both are compared in that form, and
our own labels, which that form leaves out, besides.
"""

from __future__ import annotations

from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.planning import canonical


def stored_as_sent(kind: Kind, sent: JsonObject, stored: JsonObject, actual: ActualState) -> bool:
    """Return whether `stored`, a spec that the cluster has, is what a request with `sent` makes of it.

    `actual` gives the names of networks, secrets and configs. A secret's content can't be read back: there the
    labels decide, one of which is a hash of it.
    """
    if kind in (Kind.SWARM, Kind.NODE):
        return bool(canonical.without_empties(sent) == canonical.without_empties(stored))
    if (sent.get("Labels") or {}) != (stored.get("Labels") or {}):
        return False
    if kind is Kind.SERVICE:
        names = {kind: {found.id: found.name for found in actual.of_kind(kind)} for kind in Kind}
        networks = names[Kind.NETWORK] | {object_id: name for name, object_id in actual.predefined_networks}
        ours, theirs = (
            canonical.service(spec, networks=networks, secrets=names[Kind.SECRET], configs=names[Kind.CONFIG])
            for spec in (sent, stored)
        )
        return bool(ours == theirs) and _force_update(sent) == _force_update(stored)
    if kind is Kind.NETWORK:
        ours, theirs = canonical.network(sent), canonical.network(stored)
        return bool(ours == canonical.keep_asked_for(ours, theirs))
    same_data = kind is Kind.SECRET or sent.get("Data") == stored.get("Data")
    return same_data and bool(canonical.content(sent) == canonical.content(stored))


def _force_update(spec: JsonObject) -> int:
    return int((spec.get("TaskTemplate") or {}).get("ForceUpdate") or 0)
