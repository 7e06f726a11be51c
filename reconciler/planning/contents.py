"""Secrets and configs. Swarm never changes their content: another content is another object.

The first version takes the name that the stack file gives, so that a stack deployed by `docker stack deploy` and by
us is the same stack. A later version takes that name with a hash, carries the plain name in a label, and the services
that use it are pointed to it in the same rollout. What becomes of former versions is prune.py's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping

from msgspec.structs import replace

from reconciler.model import labels
from reconciler.model.desired import DesiredObject
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import ABSENT, Absent, Action, ActionType, Change, Origin
from reconciler.planning import canonical
from reconciler.planning.config_contents import HASH_CHARACTERS, RealNames, decoded, shown_content
from reconciler.planning.context import Context, Draft, action_id, belongs_elsewhere, has_moved
from reconciler.planning.differ import changes_between
from reconciler.planning.drift import origin_of, origin_of_creation, with_origin, with_places
from reconciler.planning.marks import marked, prune_change
from reconciler.planning.versions import Versions, versions_of

NAME_CHARACTERS_MAX = 64
"""The daemon's limit for names of secrets and configs."""

SCRYPT_COST = 2**12
"""About 10 ms a hash: a label with it can't be searched through quickly for the content of a weak secret."""

FRAME = ("Driver", "Templating")
"""Where a content comes from, and what is done with it: Swarm changes them as little as the content."""

UNKNOWN_CONTENT = "(unknown)"
"""What is shown for a secret that nobody has noted the hash of."""


def plan_contents(context: Context, draft: Draft) -> RealNames:
    """Add what creates secrets and configs, and return under which names services find them."""
    real_names: RealNames = {}
    versions = versions_of(context.actual)
    for kind in (Kind.SECRET, Kind.CONFIG):
        # Of names to be, too: of two objects of one plan none may take the other's.
        taken = {found.name.lower() for found in context.actual.of_kind(kind)}
        for wanted in context.wanted(kind):
            name = _plan_one(context, draft, wanted, versions, taken)
            taken.add(name.lower())
            real_names[kind, wanted.name] = name
    return real_names | _names_of_others(context, versions)


def _names_of_others(context: Context, versions: Versions) -> RealNames:
    """Return under which names services find what a stack that was not chosen declares, and they use as external.

    That stack is left alone: it is the version with the wanted content, where the cluster has it, or else the one that
    is in use. Without this a plan for the user alone would put it back to the first version.
    """
    names: RealNames = {}
    for wanted in context.used_of_others():
        known = versions.of(wanted.kind, wanted.name)
        there = _current(wanted, known, versions) or _in_use(known, versions)
        if there is not None:
            names[wanted.kind, wanted.name] = there.name
    return names


def _plan_one(context: Context, draft: Draft, wanted: DesiredObject, versions: Versions, taken: set[str]) -> str:
    """Return under which name services find what is wanted. `taken` is in lower case: so Swarm compares names."""
    known = versions.of(wanted.kind, wanted.name)
    usable = [found for found in known if belongs_elsewhere(wanted, found) is None or has_moved(context, found)]
    current = _current(wanted, usable, versions)
    if current is not None:
        _plan_labels(context, draft, wanted, current)
        return current.name
    if wanted.name.lower() in taken and not usable:
        problem = belongs_elsewhere(wanted, known[0]) if known else None
        if problem is not None:
            draft.block(wanted.kind, wanted.name, problem)
            return wanted.name
    name = wanted.name if wanted.name.lower() not in taken else _hashed_name(wanted, taken)
    # What tasks see today is what the new content is compared with, whichever version that is.
    previous = _in_use(usable, versions)
    draft.actions.append(_create(context, wanted, name, previous))
    return name


def _current(wanted: DesiredObject, usable: list[ObservedObject], versions: Versions) -> ObservedObject | None:
    """Return the version that holds what `wanted` asks for, as far as can be known; one that is in use before others.

    A secret that was not written by us has no hash to compare. It counts as unchanged where no version has one: to
    replace every adopted secret would restart whatever uses it, for nothing in nearly all cases.
    """
    same = [found for found in usable if _same_content(wanted, found)]
    if not same and not any(labels.CONTENT in found.labels for found in usable):
        same = [found for found in usable if _same_frame(wanted, found) and wanted.kind is Kind.SECRET]
    return _in_use(same, versions)


def _in_use(known: list[ObservedObject], versions: Versions) -> ObservedObject | None:
    """Return the newest that services use, or the newest of all."""
    return next((found for found in known if versions.is_used(found)), known[0] if known else None)


def _same_content(wanted: DesiredObject, found: ObservedObject) -> bool:
    return _same_frame(wanted, found) and _same_data(wanted, found)


def _same_data(wanted: DesiredObject, found: ObservedObject) -> bool:
    if wanted.kind is Kind.CONFIG:
        return decoded(wanted.spec.get("Data")) == decoded(found.spec.get("Data"))
    if "Data" not in wanted.spec:
        return labels.CONTENT not in found.labels  # a driver hands the content out: there is none to compare
    return found.labels.get(labels.CONTENT) == _content_label(wanted)


def _same_frame(wanted: DesiredObject, found: ObservedObject) -> bool:
    return _frame(wanted.spec) == _frame(found.spec)


def _asks_the_same(before: DesiredObject, now: DesiredObject) -> bool:
    """Return whether two revisions ask for one and the same version."""
    return before.spec.get("Data") == now.spec.get("Data") and _frame(before.spec) == _frame(now.spec)


def _frame(spec: JsonObject) -> tuple[JsonValue, JsonValue]:
    return tuple(canonical.without_empties(spec.get(key)) or None for key in FRAME)  # type: ignore[return-value]


def _plan_labels(context: Context, draft: Draft, wanted: DesiredObject, current: ObservedObject) -> None:
    differing = changes_between(canonical.content(current.spec), canonical.content(wanted.spec))
    changes = (*_label_origins(context, wanted, differing), *prune_change(context, wanted, current))
    if _has_other_content(context, wanted):
        changes = with_origin(changes, Origin.INTENT)
    if not changes:
        return
    kept = {key: value for key, value in current.labels.items() if key in (labels.LOGICAL_NAME, labels.CONTENT)}
    spec = marked(context, wanted, {**current.spec, "Name": current.name, "Labels": wanted.spec.get("Labels")})
    spec["Labels"] = {**(spec.get("Labels") or {}), **kept}
    draft.actions.append(
        Action(
            id=action_id(wanted.kind, current.name),
            type=ActionType.UPDATE,
            kind=wanted.kind,
            name=current.name,
            stack=wanted.stack,
            reason="its labels differ",
            changes=with_places(changes, wanted),
            object_id=current.id,
            version=current.version,
            spec=spec,
            read_spec=current.spec,
            place=wanted.place,
            origin=origin_of(changes),
        )
    )


def _has_other_content(context: Context, wanted: DesiredObject) -> bool:
    """Return whether the baseline asks for another version: of one that Git goes back to, it says no labels."""
    before = (context.baseline or {}).get((wanted.kind, wanted.name))
    return before is not None and not _asks_the_same(before, wanted)


def _label_origins(context: Context, wanted: DesiredObject, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the changes of labels with who moved. Secrets and configs carry no record, only another Revision tells."""
    if context.baseline is None:
        return with_origin(changes, Origin.UNKNOWN)
    before = context.baseline.get((wanted.kind, wanted.name))
    if before is None:
        return changes
    # Not by the changes: of what they show a secret is hidden.
    asked, asks = canonical.content(before.spec), canonical.content(wanted.spec)
    return tuple(
        replace(
            change,
            origin=Origin.DRIFT if _label(asked, change.path) == _label(asks, change.path) else Origin.INTENT,
        )
        for change in changes
    )


def _label(form: JsonObject, path: str) -> JsonValue | Absent:
    key = path.removeprefix('Labels["').removesuffix('"]')
    return (form.get("Labels") or {}).get(key, ABSENT)


def _create(context: Context, wanted: DesiredObject, name: str, previous: ObservedObject | None) -> Action:
    spec = marked(context, wanted, wanted.spec) | {"Name": name}
    ours: dict[str, str] = {}
    if name != wanted.name:
        ours[labels.LOGICAL_NAME] = wanted.name
    if wanted.kind is Kind.SECRET and "Data" in wanted.spec:
        ours[labels.CONTENT] = _content_label(wanted)
    spec["Labels"] = {**(spec.get("Labels") or {}), **ours}
    origin = _creation_origin(context, wanted, name)
    before = _differing_frame(wanted, previous)
    changes = (*_data_change(wanted, previous), *changes_between(before, canonical.content(wanted.spec)))
    return Action(
        id=action_id(wanted.kind, name),
        type=ActionType.CREATE,
        kind=wanted.kind,
        name=name,
        stack=wanted.stack,
        reason=_reason(wanted, previous),
        changes=with_places(changes, wanted, origin),
        spec=spec,
        place=wanted.place,
        origin=origin,
    )


def _reason(wanted: DesiredObject, previous: ObservedObject | None) -> str:
    if previous is None:
        return "it does not exist"
    if not _same_data(wanted, previous):
        differs = "content"
    else:
        differs = "template driver" if _frame(wanted.spec)[0] == _frame(previous.spec)[0] else "driver"
    return f"its {differs} differs from {previous.name}"


def _differing_frame(wanted: DesiredObject, previous: ObservedObject | None) -> JsonObject | Absent:
    """Return driver and templating of the previous version where they are others, to tell what of them goes as well."""
    if previous is None or _same_frame(wanted, previous):
        return ABSENT
    return {key: value for key, value in canonical.content(previous.spec).items() if key in FRAME}


def _creation_origin(context: Context, wanted: DesiredObject, name: str) -> Origin:
    """Return DRIFT when the very content that is missing was there; a new content is what somebody wants."""
    if context.baseline is not None:
        if _has_other_content(context, wanted):
            return Origin.INTENT
    elif action_id(wanted.kind, _hashed_name(wanted, set())) in context.recorded:
        return Origin.DRIFT
    return origin_of_creation(context, wanted.kind, wanted.name, name)


def _data_change(wanted: DesiredObject, previous: ObservedObject | None) -> tuple[Change, ...]:
    """Return the change of the content, if it is one: a config's text, and of a secret a short hash at most."""
    if "Data" not in wanted.spec or (previous is not None and _same_data(wanted, previous)):
        return ()
    if wanted.kind is Kind.SECRET:
        before: str | Absent = ABSENT
        if previous is not None:
            before = _short(previous.labels.get(labels.CONTENT))
        return (Change("Data", before, _short(_content_label(wanted))),)
    old = shown_content(previous.spec.get("Data")) if previous else ABSENT
    return (Change("Data", old, shown_content(wanted.spec["Data"])),)


def _short(content: str | None) -> str:
    if content is None:
        return UNKNOWN_CONTENT
    algorithm, _, digest = content.rpartition(":")
    return f"{algorithm}:{digest[:HASH_CHARACTERS]}"


def _hashed_name(wanted: DesiredObject, taken: set[str]) -> str:
    """Return a free `name-hash` that is no longer than the daemon takes.

    A secret's hash is the slow one of its label. Where the name has to be cut it goes into the hash: two long names
    may begin alike. Where the result is taken, by another content, more of the hash makes it another name.
    """
    whole = f"{wanted.name}-" + "0" * HASH_CHARACTERS
    digest = _digest(wanted, with_name=len(whole) > NAME_CHARACTERS_MAX)
    for length in range(HASH_CHARACTERS, len(digest) + 1):
        name = f"{wanted.name[: NAME_CHARACTERS_MAX - length - 1]}-{digest[:length]}"
        if name.lower() not in taken:
            return name
    return name


def _digest(wanted: DesiredObject, *, with_name: bool) -> str:
    frame = "".join(str(part) for part in _frame(wanted.spec) if part)
    if wanted.kind is Kind.SECRET and "Data" in wanted.spec:
        content = _content_label(wanted).rpartition(":")[2]
        return hashlib.sha256(f"{content}{frame}".encode()).hexdigest() if frame else content
    prefix = f"{wanted.name}\0".encode() if with_name else b""
    return hashlib.sha256(prefix + decoded(wanted.spec.get("Data")) + frame.encode()).hexdigest()


def _content_label(wanted: DesiredObject) -> str:
    return content_label(wanted.name, decoded(wanted.spec.get("Data")))


@functools.lru_cache(maxsize=4096)
def content_label(name: str, content: bytes) -> str:
    """Return the label value by which a later plan knows whether a secret's content is still the same.

    The name is the salt, the cost is SCRYPT_COST, and 64 bits are kept: enough to see a change, too little and
    too slow to find the content by trying.
    """
    digest = hashlib.scrypt(content, salt=name.encode(), n=SCRYPT_COST, r=8, p=1, dklen=8)
    return f"scrypt:{digest.hex()}"


def names_of_baseline(context: Context, real_names: RealNames) -> RealNames:
    """Return the names that the cluster has for what the baseline asks for; nothing without a baseline.

    A content that the wanted state has as well goes by one name in both; so does a version that is still there.
    """
    if context.options.baseline is None:
        return {}
    wanted = {(one.kind, one.name): one for one in context.desired.objects}
    versions = versions_of(context.actual)
    names: RealNames = {key: name for key, name in real_names.items() if key not in wanted}
    for before in context.options.baseline.objects:
        if before.kind not in (Kind.SECRET, Kind.CONFIG):
            continue
        key = before.kind, before.name
        now = wanted.get(key)
        if now is not None and _asks_the_same(before, now):
            names[key] = real_names.get(key, before.name)
        else:
            there = _current(before, versions.of(*key), versions)
            names[key] = there.name if there else _hashed_name(before, set())
    return names


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
    if credential := dig(container, "Privileges", "CredentialSpec", "Config"):
        name = real_names.get((Kind.CONFIG, credential), credential)
        credentials = {**container["Privileges"]["CredentialSpec"], "Config": name}
        renamed["Privileges"] = {**container["Privileges"], "CredentialSpec": credentials}
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], "ContainerSpec": renamed}}
