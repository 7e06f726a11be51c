"""What this repository last applied, as the swarm itself remembers it, in labels.

Two records, both packed (JSON, deflated, in base64): on each service and network what we asked it to be, by which
drift is told from intent; and on the swarm, which objects each repository has created, by which an object still
counts as ours after a `docker stack deploy` dropped its labels, and one that vanished is told from one that is new.

Labels are what anybody may write: whatever can't be unpacked, or has another shape, counts as no record at all.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Collection

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind, ObservedObject

FORMAT = "z1:"
"""What a packed value starts with; another way of packing gets another number."""

UNPACKED_BYTES_MAX = 4 * 1024 * 1024
"""No spec is larger: swarmkit's messages end here. A label that unpacks to more was not written by us."""

TURN = "io.swarmctl.turn"
"""In a record of a service: a number that grows with each update of ours, beside the fields of its spec."""

INVENTORIED_KINDS = (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE)


def packed(value: JsonValue) -> str:
    """Return the label value that holds `value`."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return FORMAT + base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 9)).decode()


def unpacked(label: str | None) -> JsonValue:
    """Return what `label` holds; None for what is no record of ours, or a broken one."""
    if not isinstance(label, str) or not label.startswith(FORMAT):
        return None
    try:
        compressed = base64.b64decode(label.removeprefix(FORMAT), validate=True)
        inflating = zlib.decompressobj()
        text = inflating.decompress(compressed, UNPACKED_BYTES_MAX)
        return json.loads(text) if inflating.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None


def applied_form(found: ObservedObject) -> JsonObject | None:
    """Return the canonical spec that we last asked `found` to be, or None when nothing says it.

    `docker service rollback` brings back an older spec with that one's record; the newer one is the PreviousSpec then,
    until a second rollback changes their places again. Where Swarm itself rolls back a failed update there is none:
    what we last asked for never came to be. (facts, swarmkit.md 4)
    """
    record = _form(found.labels.get(labels.APPLIED))
    if not str(found.dig("UpdateStatus", "State") or "").startswith("rollback"):
        return record
    before = _form(found.dig("PreviousSpec", "Labels", labels.APPLIED))
    if before is None or record is None:
        return before or record
    return record if _turn(record) > _turn(before) else before


def numbered(form: JsonObject, found: ObservedObject) -> JsonObject:
    """Return what is asked of `found`, for its record, with a number above those of the records that it has."""
    records = (found.labels.get(labels.APPLIED), found.dig("PreviousSpec", "Labels", labels.APPLIED))
    return {**form, TURN: 1 + max(_turn(_form(record) or {}) for record in records)}


def _form(label: str | None) -> JsonObject | None:
    form = unpacked(label)
    return form if isinstance(form, dict) else None


def _turn(form: JsonObject) -> int:
    turn = form.get(TURN)
    return turn if type(turn) is int else 0


def inventory_label(owner: str) -> str:
    """Return the swarm's label under which the objects of one repository are listed."""
    return f"{labels.INVENTORY}.{owner}"


def recorded(actual: ActualState, owner: str) -> frozenset[str]:
    """Return the objects that the repository `owner` has created ("service.web_api"), as far as it is recorded."""
    return recorded_in(actual.swarm.spec, owner)


def recorded_in(spec: JsonObject, owner: str) -> frozenset[str]:
    """Return the same as the swarm's own Spec says it."""
    names = unpacked((spec.get("Labels") or {}).get(inventory_label(owner))) if owner else None
    if not isinstance(names, list):
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str))


def swarm_spec_with(spec: JsonObject, owner: str, names: Collection[str]) -> JsonObject:
    """Return a copy of the swarm's own Spec that records `names` as all that `owner` has created."""
    label = {inventory_label(owner): packed(sorted(names))}
    return {**spec, "Labels": {**(spec.get("Labels") or {}), **label}}
