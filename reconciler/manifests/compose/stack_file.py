"""One stack file in; the objects that it declares and the ones it refers to, or every problem in it, out.

The order is docker's: read, version, substitute variables, hold against the schema, convert. What is broken is
left out of later steps, so that one mistake is told once and the rest of the file is still looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from reconciler.manifests.compose import file_objects, networks
from reconciler.manifests.compose.hints import KEY_HINTS
from reconciler.manifests.compose.interpolation import Interpolation
from reconciler.manifests.compose.mounts import is_external, object_name
from reconciler.manifests.compose.services import service_body
from reconciler.manifests.compose.source import SECTIONS, StackSource, sound_sections
from reconciler.manifests.document import Document, read_document
from reconciler.manifests.inputs import LoadInputs
from reconciler.manifests.problems import ProblemList, key_path_text
from reconciler.manifests.schema_check import SchemaCheck
from reconciler.model.desired import DesiredObject, ExternalReference
from reconciler.model.errors import ErrorCode, Place, Problem, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind
from reconciler.model.revision import Revision

MINOR_NEWEST: Final = 13
_VERSION: Final = re.compile(r"3\.(0|[1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class StackObjects:
    """What a stack declares, in the order of creation, and what it needs from elsewhere."""

    objects: tuple[DesiredObject, ...] = ()
    externals: tuple[ExternalReference, ...] = ()


@dataclass(frozen=True, slots=True)
class StackPath:
    """Which file is which stack. `place` is where swarm.yaml says so, None for a lone stack file."""

    path: str
    stack: str
    place: Place | None = None


def stack_objects(revision: Revision, where: StackPath, inputs: LoadInputs, problems: ProblemList) -> StackObjects:
    """Return what the file declares. Once `problems` has an error the result must not be used."""
    file = revision.display(where.path)
    try:
        content = revision.read(where.path)
    except SwarmctlError as error:
        problems.add_error(error, where.place or Place(file))
        return StackObjects()
    document = read_document(content, file, problems)
    if document is None:
        return StackObjects()
    if not isinstance(document.value, dict):
        what = f"{file} must be a mapping with `services:`."
        why = "The file is empty." if document.value is None else "Here it is a list or a single value."
        problems.add(Problem(ErrorCode.WRONG_TYPE, what, why, "Write `services:` at the top.", document.place(())))
        return StackObjects()
    source = _source(revision, where, inputs, document, problems)
    return StackObjects() if source is None else _convert(source)


def _source(
    revision: Revision, where: StackPath, inputs: LoadInputs, document: Document, problems: ProblemList
) -> StackSource | None:
    minor = _minor_version(document, problems)
    if minor is None:
        return None
    interpolation = Interpolation(document, inputs.environment, problems)
    value: JsonObject = interpolation.apply(document.value)
    found = ProblemList()
    bad = SchemaCheck(inputs.schemas.stack, KEY_HINTS, minor).run(document, value, found)
    told = {key_path_text(path) for path in interpolation.failed}
    for problem in found.errors + found.warnings:
        # A variable that could not be filled in has been told; that its template has the wrong type follows.
        if problem.place is None or problem.place.key_path not in told:
            problems.add(problem)
    broken = frozenset((str(path[0]), str(path[1])) for path in bad | interpolation.failed if len(path) > 1)
    return StackSource(
        revision=revision,
        path=where.path,
        stack=where.stack,
        minor=minor,
        inputs=inputs,
        document=document,
        value=value,
        sections=sound_sections(value, broken),
        broken=broken,
        problems=problems,
    )


def _minor_version(document: Document, problems: ProblemList) -> int | None:
    """Return the minor of the file's version 3.x; a missing one, "" and "3" mean the newest."""
    version: JsonValue = document.value.get("version", "")
    if not isinstance(version, str):
        return MINOR_NEWEST  # the schema tells that it must be a string
    if version in ("", "3"):
        return MINOR_NEWEST
    found = _VERSION.fullmatch(version)
    if found and int(found[1]) <= MINOR_NEWEST:
        return int(found[1])
    what = f"Version {version[:20]!r} of the file format is not supported."
    why = "Swarm takes versions 3.0 to 3.13."
    hint = 'Write `version: "3.8"`, or remove `version`.'
    problems.add(Problem(ErrorCode.UNSUPPORTED_VERSION, what, why, hint, document.place(("version",))))
    return None


def _convert(source: StackSource) -> StackObjects:
    # A reference into a section that is no mapping cannot be judged: telling each as undefined would bury the cause.
    if any(not isinstance(source.value.get(name, {}), dict) for name in SECTIONS):
        return StackObjects()
    for name in SECTIONS[1:]:
        _check_externals(source, name)
    services = {key: item for key, item in source.section("services").items() if source.is_sound("services", key)}
    used = networks.used_keys(services.values())
    objects = [
        _object(source, Kind.NETWORK, ("networks", key), networks.create_body(source, key))
        for key in sorted(used)
        if source.is_sound("networks", key) and _is_made(source, key)
    ]
    for section, kind, file_kind in (
        ("secrets", Kind.SECRET, file_objects.SECRETS),
        ("configs", Kind.CONFIG, file_objects.CONFIGS),
    ):
        for key in sorted(file_objects.declared_keys(source, file_kind)):
            body = file_objects.create_body(source, file_kind, key) if source.is_sound(section, key) else None
            if body is not None:
                objects.append(_object(source, kind, (section, key), body))
    for key in sorted(services):
        objects.append(_object(source, Kind.SERVICE, ("services", key), service_body(source, key, services[key])))
    return StackObjects(tuple(objects), _externals(source, services))


def _is_made(source: StackSource, key: str) -> bool:
    known = source.section("networks")
    return not is_external(known[key]) if key in known else key == networks.DEFAULT


def _object(source: StackSource, kind: Kind, at: tuple[str, str], body: JsonObject) -> DesiredObject:
    return DesiredObject(kind, str(body["Name"]), source.stack, body, source.document.key_place(at))


def _externals(source: StackSource, services: dict[str, JsonObject]) -> tuple[ExternalReference, ...]:
    """Return what services use and somebody else made, each once. The engine's own networks need no look-up."""
    used: dict[tuple[Kind, str], Place] = {}
    for name in sorted(services):
        service = services[name]
        for section, kind, keys in (
            ("networks", Kind.NETWORK, networks.network_keys(service)),
            ("secrets", Kind.SECRET, _reference_keys(service.get("secrets"))),
            ("configs", Kind.CONFIG, [*_reference_keys(service.get("configs")), *_credential_config(service)]),
        ):
            for key in keys:
                definition = source.section(section).get(key)
                full_name = object_name(source, section, key)
                predefined = kind is Kind.NETWORK and networks.is_predefined(full_name)
                if definition is not None and is_external(definition) and not predefined:
                    used.setdefault((kind, full_name), source.document.key_place((section, key)))
    order = {kind: index for index, kind in enumerate(Kind)}
    return tuple(
        ExternalReference(kind, name, source.stack, used[kind, name])
        for kind, name in sorted(used, key=lambda each: (order[each[0]], each[1]))
    )


def _reference_keys(references: JsonValue) -> list[str]:
    return [item if isinstance(item, str) else item.get("source") or "" for item in references or ()]


def _credential_config(service: JsonObject) -> list[str]:
    key = (service.get("credential_spec") or {}).get("config")
    return [key] if key else []


def _check_externals(source: StackSource, section: str) -> None:
    for key, definition in source.section(section).items():
        external = definition.get("external")
        if not is_external(definition) or not source.is_sound(section, key):
            continue
        at = (section, key)
        if isinstance(external, dict) and external.get("name"):
            if definition.get("name"):
                hint = "Keep `external: true` and `name`."
                source.invalid(
                    (*at, "name"), f"`{section}.{key}` has two names.", "external.name and name conflict.", hint
                )
            else:
                why = "The form is deprecated."
                hint = "Write `external: true` and `name` beside it."
                source.warn((*at, "external"), f"`{section}.{key}.external.name` is an old form.", why, hint)
        for other in definition:
            if other in ("external", "name") or other.startswith("x-"):
                continue
            what = f"`{section}.{key}.{other}` does not go with `external`."
            why = "What is external was made by somebody else and is left as it is."
            if section == "volumes":
                source.invalid((*at, other), what, why, "Remove one of the two.")
            else:
                source.warn((*at, other), what, why, "Remove one of the two.")
