"""What files in tasks come to hold, where a service is pointed from one config to another that is there already."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Absent, Change, Origin
from reconciler.model.sensitive import hashing, masked_text
from reconciler.planning.context import Context

HASH_CHARACTERS = 8
"""Of the content's hash, in the name of a later version, and of what a plan shows of a secret."""

CONFIG_NAME = ".ConfigName"
"""What the path of a service's reference to a config ends with."""

RealNames = dict[tuple[Kind, str], str]
"""{(kind, name in the stack file): name in the cluster}."""


def content_changes(context: Context, changes: tuple[Change, ...], names_before: RealNames) -> tuple[Change, ...]:
    """Return what files in a service's tasks will hold, for each of `changes` that points one to another config.

    Only where both versions exist: the creation of a new one tells its content itself. A secret has none to show.
    `names_before` are those of the baseline's configs. What was last applied may be a config that is gone, and whose
    content nobody knows: then it is the name alone that tells who moved.
    """
    moved = [change for change in changes if change.path.endswith(CONFIG_NAME)]
    if not moved:
        return ()
    there = {found.name: found.spec for found in context.actual.configs}
    before = {
        names_before.get(key, wanted.name): wanted.spec
        for key, wanted in (context.baseline or {}).items()
        if wanted.kind is Kind.CONFIG
    }
    return tuple(
        told
        for change in moved
        if change.old in there and change.new in there
        for told in _content_changes(change, there[change.old], there[change.new], before | there)
    )


def _content_changes(
    change: Change, old: JsonObject, new: JsonObject, known: Mapping[str, JsonObject]
) -> Iterator[Change]:
    """Yield how two configs differ in what becomes of them in a task, which those with other names need not do."""
    path = change.path.removesuffix(CONFIG_NAME)
    applied = known.get(change.applied) if isinstance(change.applied, str) else None
    if decoded(old.get("Data")) != decoded(new.get("Data")):
        was, becomes = shown_content(old.get("Data")), shown_content(new.get("Data"))
        yield _told(
            change, f"{path} (content)", was, becomes, None if applied is None else shown_content(applied.get("Data"))
        )
    driver_was, driver_becomes = _template_driver(old), _template_driver(new)
    if driver_was != driver_becomes:
        known_driver = None if applied is None else _template_driver(applied)
        yield _told(change, f"{path} (template driver)", driver_was, driver_becomes, known_driver)


def _template_driver(spec: JsonObject) -> str | Absent:
    return (spec.get("Templating") or {}).get("Name") or ABSENT


def _told(change: Change, path: str, old: str | Absent, new: str | Absent, applied: str | Absent | None) -> Change:
    """Return the change of a name as one of what it stands for; `applied` is None where nobody knows it."""
    told = replace(change, path=path, old=old, new=new)
    if applied is None:
        moved = change.origin in (Origin.DRIFT, Origin.BOTH)
        return replace(told, applied=ABSENT, origin=Origin.INTENT if moved else change.origin)
    if change.origin is Origin.UNKNOWN:
        return replace(told, applied=applied)
    origin = Origin.INTENT if applied == old else Origin.DRIFT if applied == new else Origin.BOTH
    return replace(told, applied=applied, origin=origin)


def shown_content(data: str | None) -> str:
    """Return a config's content as it is shown, without what looks like a secret in it."""
    content = decoded(data)
    try:
        return masked_text(content.decode(), hide=hashing("Data"))
    except UnicodeDecodeError:
        return f"({len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]})"


def decoded(data: str | None) -> bytes:
    try:
        return base64.b64decode(data or "")
    except binascii.Error:
        return (data or "").encode()
