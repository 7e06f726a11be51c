"""Secrets and configs. Swarm never changes their content: another content is another object.

The first version takes the name that the stack file gives, so that a stack deployed by `docker stack deploy` and by
us is the same stack. A later version takes that name with a hash, carries the plain name in a label, and the services
that use it are pointed to it in the same rollout. Old versions go once no service refers to them, not even the
previous spec that a rollback would bring back.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from collections.abc import Mapping

from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Action, ActionType, Change
from reconciler.planning import canonical
from reconciler.planning.context import Context, Draft, action_id, belongs_elsewhere
from reconciler.planning.differ import changes_between

NAME_CHARACTERS_MAX = 64
"""The daemon's limit for names of secrets and configs."""

HASH_CHARACTERS = 8
"""Of the content's hash, in the name of a later version."""

SCRYPT_COST = 2**12
"""About 10 ms a hash: a label with it can't be searched through quickly for the content of a weak secret."""

RealNames = dict[tuple[Kind, str], str]
"""{(kind, name in the stack file): name in the cluster}."""


def plan_contents(context: Context, draft: Draft) -> RealNames:
    """Add what creates secrets and configs, and return under which names services find them."""
    real_names: RealNames = {}
    for kind in (Kind.SECRET, Kind.CONFIG):
        versions = _versions(context.actual.of_kind(kind))
        taken = {found.name for found in context.actual.of_kind(kind)}
        for wanted in context.wanted(kind):
            real_names[kind, wanted.name] = _plan_one(context, draft, wanted, versions.get(wanted.name, []), taken)
    return real_names


def _versions(found: tuple[ObservedObject, ...]) -> dict[str, list[ObservedObject]]:
    """Return {name in the stack file: its versions in the cluster}, the plainly named one first."""
    versions: dict[str, list[ObservedObject]] = {}
    for one in sorted(found, key=lambda item: (labels.LOGICAL_NAME in item.labels, item.name)):
        versions.setdefault(one.labels.get(labels.LOGICAL_NAME, one.name), []).append(one)
    return versions


def _plan_one(
    context: Context, draft: Draft, wanted: DesiredObject, versions: list[ObservedObject], taken: set[str]
) -> str:
    usable = [found for found in versions if belongs_elsewhere(wanted, found) is None]
    current = next((found for found in usable if _same_content(wanted, found)), None)
    if current is not None:
        _plan_labels(context, draft, wanted, current)
        return current.name
    if wanted.name in taken and not usable:
        problem = belongs_elsewhere(wanted, versions[0]) if versions else None
        if problem is not None:
            draft.block(wanted.kind, wanted.name, problem)
            return wanted.name
    name = wanted.name if wanted.name not in taken else _hashed_name(wanted)
    draft.actions.append(_create(context, wanted, name, usable[-1] if usable else None))
    return name


def _same_content(wanted: DesiredObject, found: ObservedObject) -> bool:
    """Return whether `found` holds what `wanted` asks for, as far as can be known.

    A secret that was not written by us has no hash to compare. It counts as unchanged: to replace every adopted
    secret would restart whatever uses it, for nothing in nearly all cases.
    """
    if (wanted.spec.get("Driver"), wanted.spec.get("Templating")) != (
        canonical.without_empties(found.spec.get("Driver")),
        canonical.without_empties(found.spec.get("Templating")),
    ):
        return False
    if wanted.kind is Kind.CONFIG:
        return _decoded(wanted.spec.get("Data")) == _decoded(found.spec.get("Data"))
    stored = found.labels.get(labels.CONTENT)
    return stored is None or stored == _content_label(wanted)


def _plan_labels(context: Context, draft: Draft, wanted: DesiredObject, current: ObservedObject) -> None:
    changes = changes_between(canonical.content(current.spec), canonical.content(wanted.spec))
    if not changes:
        return
    kept = {key: value for key, value in current.labels.items() if key in labels.OURS}
    spec = dict(current.spec) | {"Name": current.name}
    spec["Labels"] = {**(wanted.spec.get("Labels") or {}), **kept}
    draft.actions.append(
        Action(
            id=action_id(wanted.kind, current.name),
            type=ActionType.UPDATE,
            kind=wanted.kind,
            name=current.name,
            stack=wanted.stack,
            reason="its labels differ",
            changes=changes,
            object_id=current.id,
            version=current.version,
            spec=context.with_owner(spec),
            read_spec=current.spec,
            place=wanted.place,
        )
    )


def _create(context: Context, wanted: DesiredObject, name: str, previous: ObservedObject | None) -> Action:
    spec = context.with_owner(wanted.spec) | {"Name": name}
    ours: dict[str, str] = {}
    if name != wanted.name:
        ours[labels.LOGICAL_NAME] = wanted.name
    if wanted.kind is Kind.SECRET and "Data" in wanted.spec:
        ours[labels.CONTENT] = _content_label(wanted)
    spec["Labels"] = {**(spec.get("Labels") or {}), **ours}
    reason = f"its content differs from {previous.name}" if previous else "it does not exist"
    changes = (*_data_change(wanted, previous), *changes_between(ABSENT, canonical.content(wanted.spec)))
    return Action(
        id=action_id(wanted.kind, name),
        type=ActionType.CREATE,
        kind=wanted.kind,
        name=name,
        stack=wanted.stack,
        reason=reason,
        changes=changes,
        spec=spec,
        place=wanted.place,
    )


def _data_change(wanted: DesiredObject, previous: ObservedObject | None) -> tuple[Change, ...]:
    if "Data" not in wanted.spec:
        return ()
    if wanted.kind is Kind.SECRET:
        before = previous.labels.get(labels.CONTENT, ABSENT) if previous else ABSENT
        return (Change("Data", before, _content_label(wanted), sensitive=True),)
    old = _text(previous.spec.get("Data")) if previous else ABSENT
    return (Change("Data", old, _text(wanted.spec["Data"])),)


def _text(data: str | None) -> str:
    content = _decoded(data)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]})"


def _decoded(data: str | None) -> bytes:
    try:
        return base64.b64decode(data or "")
    except binascii.Error:
        return (data or "").encode()


def _hashed_name(wanted: DesiredObject) -> str:
    """Return `name-hash`, cut to what the daemon takes. A secret's hash is the slow one of its label."""
    if wanted.kind is Kind.SECRET:
        digest = _content_label(wanted).rpartition(":")[2]
    else:
        digest = hashlib.sha256(_decoded(wanted.spec.get("Data"))).hexdigest()
    room = NAME_CHARACTERS_MAX - HASH_CHARACTERS - 1
    return f"{wanted.name[:room]}-{digest[:HASH_CHARACTERS]}"


def _content_label(wanted: DesiredObject) -> str:
    return content_label(wanted.name, _decoded(wanted.spec.get("Data")))


@functools.lru_cache(maxsize=4096)
def content_label(name: str, content: bytes) -> str:
    """Return the label value by which a later plan knows whether a secret's content is still the same.

    The name is the salt, the cost is SCRYPT_COST, and 64 bits are kept: enough to see a change, too little and
    too slow to find the content by trying.
    """
    digest = hashlib.scrypt(content, salt=name.encode(), n=SCRYPT_COST, r=8, p=1, dklen=8)
    return f"scrypt:{digest.hex()}"


def renamed_references(spec: JsonObject, real_names: Mapping[tuple[Kind, str], str]) -> JsonObject:
    """Return a service spec whose secret and config references carry the names that the cluster has them under."""
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec")
    if not container or not (container.get("Secrets") or container.get("Configs")):
        return spec
    renamed = dict(container)
    for list_key, name_key, kind in (("Secrets", "SecretName", Kind.SECRET), ("Configs", "ConfigName", Kind.CONFIG)):
        if references := container.get(list_key):
            renamed[list_key] = [
                {**item, name_key: real_names.get((kind, item.get(name_key)), item.get(name_key))}
                for item in references
            ]
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], "ContainerSpec": renamed}}
