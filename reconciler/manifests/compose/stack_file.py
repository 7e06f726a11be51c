"""A stack's files in; the objects that they declare and the ones they refer to, or every problem in them, out.

The order is docker's: read, version, substitute variables, hold against the schema, merge, convert. What is broken
is left out of later steps, so that one mistake is told once and the rest of the file is still looked at.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec.structs import replace

from reconciler.manifests.compose import file_objects, networks
from reconciler.manifests.compose.decode import decoded_layer
from reconciler.manifests.compose.extension import is_pruned, named_references
from reconciler.manifests.compose.hints import KEY_HINTS
from reconciler.manifests.compose.interpolation import Interpolation
from reconciler.manifests.compose.layers import MergedPlaces
from reconciler.manifests.compose.merge import merged_layers
from reconciler.manifests.compose.mounts import is_external, object_name
from reconciler.manifests.compose.order import needed_keys
from reconciler.manifests.compose.places import FieldPlaces
from reconciler.manifests.compose.services import service_body
from reconciler.manifests.compose.source import EXTENSION, SECTIONS, StackSource, Warned, sound_sections
from reconciler.manifests.compose.written import WrittenStack
from reconciler.manifests.document import Document, further_document, read_document
from reconciler.manifests.inputs import LoadInputs
from reconciler.manifests.problems import KeyPath, ProblemList, key_path_text
from reconciler.manifests.schema_check import SchemaCheck
from reconciler.model.desired import DesiredObject, ExternalReference
from reconciler.model.errors import ErrorCode, Place, Problem, Severity, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind
from reconciler.model.revision import Revision

MINOR_NEWEST: Final = 13
PLACEHOLDER_IMAGE: Final = "unknown"
"""Stands in for an image that is wrong, while the rest of its service is looked at."""
_VERSION: Final = re.compile(r"3\.(0|[1-9][0-9]?)")


class StackObjects(msgspec.Struct, frozen=True):
    """What a stack declares, in the order of creation, and what it needs from elsewhere."""

    objects: tuple[DesiredObject, ...] = ()
    externals: tuple[ExternalReference, ...] = ()
    standalone: bool = False
    """Whether the file says that it is no stack."""
    atomic: bool = False
    """Whether the file, or the last of several to say anything of it, asks for `rollback: stack`."""


class StackPath(msgspec.Struct, frozen=True):
    """Which files are which stack. `place` is where swarm.yaml says so, None for a lone stack.

    `overrides` are merged over `path` from left to right.
    """

    path: str
    stack: str
    place: Place | None = None
    overrides: tuple[str, ...] = ()


def stack_objects(revision: Revision, where: StackPath, inputs: LoadInputs, problems: ProblemList) -> StackObjects:
    """Return what the files declare. Once `problems` has an error the result must not be used."""
    context = _Context(revision, where, inputs, problems)
    sources = [_file_source(context, path) for path in (where.path, *where.overrides)]
    usable = [source for source in sources if source is not None]
    if len(usable) < len(sources) or not _versions_agree(usable, problems):
        return StackObjects()
    # A reference into a section that is no mapping cannot be judged: telling each as undefined would bury the cause.
    if any(not isinstance(source.value.get(name, {}), dict) for source in usable for name in SECTIONS):
        return StackObjects()
    for source in usable:
        for name in SECTIONS[1:]:
            _check_externals(source, name)
    return _convert(usable[0] if len(usable) == 1 else _merged(usable))


class _Context(msgspec.Struct, frozen=True):
    revision: Revision
    where: StackPath
    inputs: LoadInputs
    problems: ProblemList


def _file_source(context: _Context, path: str) -> StackSource | None:
    file = context.revision.display(path)
    problems = context.problems
    try:
        content = context.revision.read(path)
    except SwarmctlError as error:
        problems.add_error(error, context.where.place or Place(file))
        return None
    document = read_document(content, file, problems)
    if document is None:
        return None
    if (further := further_document(document, Severity.WARNING)) is not None:
        problems.add(further)
    if not isinstance(document.value, dict):
        what = f"{file} must be a mapping with `services:`."
        why = "The file is empty." if document.value is None else "Here it is a list or a single value."
        problems.add(Problem(ErrorCode.WRONG_TYPE, what, why, "Write `services:` at the top.", document.place(())))
        return None
    return _source(context, document)


def _versions_agree(sources: list[StackSource], problems: ProblemList) -> bool:
    first = sources[0]
    for source in sources[1:]:
        if source.minor != first.minor:
            versions = f"3.{first.minor} and 3.{source.minor}"
            what = f"The files of the stack {first.stack} have different versions: {versions}."
            why = f"{first.document.file} says one, {source.document.file} the other; none means 3.{MINOR_NEWEST}."
            hint = "Write the same `version` in all of them."
            place = source.document.place(("version",))
            problems.add(Problem(ErrorCode.UNSUPPORTED_VERSION, what, why, hint, place))
            return False
    return True


def _merged(sources: list[StackSource]) -> StackSource:
    layer = merged_layers([decoded_layer(source) for source in sources])
    first = sources[0]
    return replace(
        first,
        document=MergedPlaces(first.document.file, layer.origins),
        value=dict(layer.value),
        sections=layer.value,
        broken=frozenset().union(*(source.broken for source in sources)),
        flaws=frozenset(),
        rollback=next((source.rollback for source in reversed(sources) if source.rollback is not None), None),
        env_files={spot: content for source in sources for spot, content in source.env_files.items()},
    )


def _source(context: _Context, document: Document) -> StackSource | None:
    inputs, problems = context.inputs, context.problems
    minor = _minor_version(document, problems)
    if minor is None:
        _tell_forbidden(inputs, document, problems)
        return None
    interpolation = Interpolation(document, inputs.environment, problems)
    value: JsonObject = interpolation.apply(document.value) if document.may_hold("$") else document.value
    found = ProblemList()
    bad: frozenset[KeyPath] = frozenset()
    if interpolation.failed or not inputs.schemas.stack_check(minor)(value):
        bad = SchemaCheck(inputs.schemas.stack, KEY_HINTS, minor).run(document, value, found)
    told = {key_path_text(path) for path in interpolation.failed}
    for problem in found.errors + found.warnings:
        # A variable that could not be filled in has been told; that its template has the wrong type follows.
        if problem.place is None or problem.place.key_path not in told:
            problems.add(problem)
    paths = bad | interpolation.failed
    broken = frozenset((str(path[0]), str(path[1])) for path in paths if len(path) > 1)
    return StackSource(
        revision=context.revision,
        path=context.where.path,
        stack=context.where.stack,
        minor=minor,
        inputs=inputs,
        document=document,
        value=value,
        sections=sound_sections(value, broken),
        broken=broken,
        flaws=frozenset(tuple(map(str, path[:3])) for path in paths),
        problems=problems,
        standalone=dig(value, EXTENSION, "stack") is False,
        rollback=dig(value, EXTENSION, "rollback"),
    )


def _tell_forbidden(inputs: LoadInputs, document: Document, problems: ProblemList) -> None:
    """Of a file in another version's format, tell at least the keys that no version of a stack may have."""
    found = ProblemList()
    SchemaCheck(inputs.schemas.stack, KEY_HINTS, MINOR_NEWEST).run(document, document.value, found)
    for problem in found.errors:
        if problem.code is ErrorCode.UNSUPPORTED_KEY:
            problems.add(problem)


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
    services = {key: item for key, item in source.section("services").items() if source.is_sound("services", key)}
    used = networks.used_keys(source, services.values())
    made = _Maker(source, WrittenStack(source.document, source.sections, source.owner, source.env_files))
    objects = [
        made.object(Kind.NETWORK, ("networks", key), networks.create_body(source, key))
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
                objects.append(made.object(kind, (section, key), body))
    bodies = {key: service_body(source, key, services[key]) for key in sorted(services)}
    needs = needed_keys(source, services)
    for key, body in bodies.items():
        needed = tuple(str(bodies[other]["Name"]) for other in needs.get(key, ()))
        objects.append(made.object(Kind.SERVICE, ("services", key), body, needed))
    _check_the_rest(source)
    _check_rollback(source)
    externals = _externals(source, services, objects)
    return StackObjects(_without_repeats(objects), externals, source.standalone, source.rollback == "stack")


def _check_the_rest(source: StackSource) -> None:
    """Tell what else is wrong with broken services: each is converted without the keys that have an error inside."""
    for section, key in sorted(source.broken) if source.flaws else ():
        service = dig(source.value, section, key)
        if section != "services" or not isinstance(service, dict) or (section, key) in source.flaws:
            continue
        rest = {name: item for name, item in service.items() if (section, key, name) not in source.flaws}
        service_body(source, key, {"image": PLACEHOLDER_IMAGE} | rest)


def _without_repeats(objects: list[DesiredObject]) -> tuple[DesiredObject, ...]:
    """Leave out what repeats another object under a second key, as two networks with one `name` do."""
    kept: list[DesiredObject] = []
    known: dict[tuple[Kind, str], JsonObject] = {}
    for wanted in objects:
        if known.setdefault((wanted.kind, wanted.name), wanted.spec) is wanted.spec or (
            known[wanted.kind, wanted.name] != wanted.spec
        ):
            kept.append(wanted)
    return tuple(kept)


def _is_made(source: StackSource, key: str) -> bool:
    known = source.section("networks")
    return not is_external(known[key]) if key in known else key == networks.DEFAULT


class _Maker(msgspec.Struct, frozen=True):
    source: StackSource
    written: WrittenStack

    def object(self, kind: Kind, at: tuple[str, str], body: JsonObject, needs: tuple[str, ...] = ()) -> DesiredObject:
        section, key = at
        return DesiredObject(
            kind=kind,
            name=str(body["Name"]),
            stack=self.source.owner,
            spec=body,
            place=self.source.document.key_place(at),
            needs=needs,
            prune=is_pruned(self.source.section(section).get(key) or {}),
            where=FieldPlaces(self.written, section, key),
        )


def _check_rollback(source: StackSource) -> None:
    if source.standalone and source.rollback == "stack":
        at = (EXTENSION, "rollback")
        what = f"`{key_path_text(at)}` asks for a stack, and the file is none."
        hint = "Remove `rollback`, or `stack: false`."
        source.invalid(at, what, "It says `stack: false`: what belongs to no stack goes back on its own.", hint)


def _externals(
    source: StackSource, services: dict[str, JsonObject], objects: list[DesiredObject]
) -> tuple[ExternalReference, ...]:
    """Return what services use and somebody else made, each once. The engine's own networks need no look-up."""
    used: dict[tuple[Kind, str], Place] = {}
    declared = {(wanted.kind, wanted.name) for wanted in objects}
    for name in sorted(services):
        service = services[name]
        for section, kind, keys in (
            ("networks", Kind.NETWORK, networks.network_keys(source, service)),
            ("secrets", Kind.SECRET, _reference_keys(service.get("secrets"))),
            ("configs", Kind.CONFIG, [*_reference_keys(service.get("configs")), *_credential_config(service)]),
        ):
            for key in keys:
                definition = source.section(section).get(key)
                full_name = object_name(source, section, key)
                predefined = kind is Kind.NETWORK and networks.is_predefined(full_name)
                if definition is not None and is_external(definition) and not predefined:
                    used.setdefault((kind, full_name), source.document.key_place((section, key)))
        for kind, full_name in named_references(service):
            predefined = kind is Kind.NETWORK and networks.is_predefined(full_name)
            if (kind, full_name) not in declared and not predefined:
                used.setdefault((kind, full_name), source.document.key_place(("services", name, EXTENSION)))
    order = {kind: index for index, kind in enumerate(Kind)}
    return tuple(
        ExternalReference(kind, name, source.owner, used[kind, name])
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
                what = f"`{section}.{key}.external.name` is an old form."
                source.warn((*at, "external"), Warned(what, why, hint, _old_form(source, section, key)))
        for other in definition:
            if other in ("external", "name") or other.startswith("x-"):
                continue
            what = f"`{section}.{key}.{other}` does not go with `external`."
            why = "What is external was made by somebody else and is left as it is."
            if section == "volumes":
                source.invalid((*at, other), what, why, "Remove one of the two.")
            else:
                source.warn((*at, other), Warned(what, why, "Remove one of the two."))


def _old_form(source: StackSource, section: str, key: str) -> str:
    """Return docker's warning of `external: {name: X}`; versions without a `name` beside it have no better form."""
    if source.minor < (4 if section == "volumes" else 5):
        return ""
    noun = section.removesuffix("s")
    return f"{noun} {key}: {noun}.external.name is deprecated in favor of {noun}.name"
