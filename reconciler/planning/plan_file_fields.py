"""What a plan file says, as values, and each of them as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.images import ResolvedImage, ResolveMode
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind
from reconciler.planning import render_json

BACKENDS = ("docker", "embedded")

ImageAnswer: TypeAlias = ResolvedImage | Problem | None


class PlanSource(msgspec.Struct, frozen=True):
    """How a plan was asked for, as on the command line; None where nothing was said."""

    path: str
    revision: str | None = None
    stack_name: str | None = None
    compose_files: tuple[str, ...] = ()
    stacks: tuple[str, ...] | None = None
    backend: str | None = None
    host: str | None = None
    context: str | None = None
    resolve: ResolveMode = ResolveMode.CHANGED
    absolute: str = ""
    """What `path` meant where the plan was made, to tell it to who applies it elsewhere; "" in files of before."""


class SavedObject(msgspec.Struct, frozen=True):
    """An object that a saved plan touches, as it was then: `object_id` None means that it was not there.

    Its `version` counts, unless `read` is given: a hash of what a user set, for kinds whose version moves by itself.
    """

    id: str
    kind: Kind
    name: str
    object_id: str | None
    version: int
    read: str | None


class SavedPlan(Discreet, frozen=True):
    """What a plan file says. `plan` is the plan as render_json has it; `proof` is a hash of all that it would write.

    `created_at` is RFC 3339. `images` are the registries' answers, for PlanOptions.images.
    """

    UNSHOWN = frozenset({"plan"})

    swarmctl_version: str
    created_at: str
    endpoint: str
    swarm_id: str
    source: PlanSource
    commit: str | None
    images: Mapping[str, ImageAnswer]
    objects: tuple[SavedObject, ...]
    proof: str
    plan: JsonObject


class Malformed(Exception):
    """A field of a plan file is not what we write; the argument names it."""


def source_fields(source: PlanSource) -> JsonObject:
    """Return a PlanSource as JSON."""
    return {
        "path": source.path,
        "revision": source.revision,
        "stack_name": source.stack_name,
        "compose_files": list(source.compose_files),
        "stacks": None if source.stacks is None else list(source.stacks),
        "backend": source.backend,
        "host": source.host,
        "context": source.context,
        "resolve": source.resolve.value,
        "absolute": source.absolute,
    }


def read_source(fields: JsonObject) -> PlanSource:
    """Return the PlanSource that JSON says. Raises Malformed."""
    if any("\0" in str(value) for value in (fields.get("path"), *_texts(fields, "compose_files"))):
        raise Malformed("path")  # no argument of a command can hold it
    return PlanSource(
        path=_get(fields, "path", str),
        revision=_get(fields, "revision", str, None),
        stack_name=_get(fields, "stack_name", str, None),
        compose_files=_texts(fields, "compose_files"),
        stacks=None if fields.get("stacks") is None else _texts(fields, "stacks"),
        backend=_one_of(fields, "backend", BACKENDS),
        host=_get(fields, "host", str, None),
        context=_get(fields, "context", str, None),
        resolve=_word(fields, "resolve", ResolveMode),
        absolute=_get(fields, "absolute", str, None) or "",
    )


def answer_fields(answer: ImageAnswer) -> JsonObject | None:
    """Return a registry's answer as JSON."""
    if isinstance(answer, ResolvedImage):
        return {"digest": answer.digest, "platforms": [dict(one) for one in answer.platforms]}
    return None if answer is None else {**render_json.problem(answer), "docker": answer.docker}


def read_answer(fields: JsonObject | None) -> ImageAnswer:
    """Return the registry's answer that JSON says. Raises Malformed."""
    if fields is None:
        return None
    if "digest" in fields:
        platforms = _get(fields, "platforms", list)
        if not all(isinstance(one, dict) for one in platforms):
            raise Malformed("platforms")
        return ResolvedImage(_get(fields, "digest", str), tuple(platforms))
    place = _get(fields, "place", dict, None)
    return Problem(
        code=_word(fields, "code", ErrorCode),
        what=_get(fields, "what", str),
        why=_get(fields, "why", str),
        hint=_get(fields, "hint", str),
        place=None if place is None else _read_place(place),
        severity=_word(fields, "severity", Severity),
        docker=_get(fields, "docker", str),
    )


def _read_place(fields: JsonObject) -> Place:
    return Place(
        _get(fields, "file", str), _get(fields, "line", int), _get(fields, "column", int), _get(fields, "key_path", str)
    )


def object_fields(one: SavedObject) -> JsonObject:
    """Return a SavedObject as JSON."""
    return {
        "id": one.id,
        "kind": one.kind.value,
        "name": one.name,
        "object_id": one.object_id,
        "version": one.version,
        "read": one.read,
    }


def _read_object(fields: JsonObject) -> SavedObject:
    return SavedObject(
        id=_get(fields, "id", str),
        kind=_word(fields, "kind", Kind),
        name=_get(fields, "name", str),
        object_id=_get(fields, "object_id", str, None),
        version=_get(fields, "version", int),
        read=_get(fields, "read", str, None),
    )


def read_plan(content: JsonObject) -> SavedPlan:
    """Return the SavedPlan that the whole content of a file says. Raises Malformed."""
    cluster = _get(content, "cluster", dict)
    images = _get(content, "images", dict)
    plan = _get(content, "plan", dict)
    for action in _objects(plan, "actions"):
        _get(action, "id", str)
        _get(action, "action", str)
        _objects(action, "changes")
    return SavedPlan(
        swarmctl_version=_get(content, "swarmctl_version", str),
        created_at=_get(content, "created_at", str),
        endpoint=_get(cluster, "endpoint", str),
        swarm_id=_get(cluster, "swarm_id", str),
        source=read_source(_get(content, "source", dict)),
        commit=_get(content, "commit", str, None),
        images={image: read_answer(_get(images, image, dict, None)) for image in images},
        objects=tuple(_read_object(one) for one in _objects(content, "objects")),
        proof=_get(content, "proof", str),
        plan=plan,
    )


def _get(fields: JsonObject, key: str, kind: type, *also: None) -> Any:
    """Return a field that must be of type `kind`, or None where `also` says so. Raises Malformed."""
    if key not in fields:
        raise Malformed(key)
    value: JsonValue = fields[key]
    if (value is None and also) or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
        return value
    raise Malformed(key)


def _word(fields: JsonObject, key: str, kind: type[Any]) -> Any:
    """Return a field that must be a value of the enum `kind`. Raises Malformed."""
    try:
        return kind(_get(fields, key, str))
    except ValueError:
        raise Malformed(key) from None


def _one_of(fields: JsonObject, key: str, known: tuple[str, ...]) -> str | None:
    """Return a field that must be one of `known`, or None. Raises Malformed."""
    value: str | None = _get(fields, key, str, None)
    if value is not None and value not in known:
        raise Malformed(key)
    return value


def _texts(fields: JsonObject, key: str) -> tuple[str, ...]:
    items = _get(fields, key, list)
    if not all(isinstance(one, str) for one in items):
        raise Malformed(key)
    return tuple(items)


def _objects(fields: JsonObject, key: str) -> list[JsonObject]:
    items: list[JsonObject] = _get(fields, key, list)
    if not all(isinstance(one, dict) for one in items):
        raise Malformed(key)
    return items
