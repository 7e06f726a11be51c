"""An ActualState in; the files of a repository that asks for just that, out.

A service is first written in the keys of compose, as well as they go. The text is compiled by the same loader that
will read it, the result compared with the live service, and what is left is put into the service's extension: so
nothing is dropped, whatever compose has no word for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from reconciler.manifests.compose.extension import composed
from reconciler.manifests.export.choices import Choices
from reconciler.manifests.export.cluster_file import HEADER, cluster_document, is_declarable
from reconciler.manifests.export.files import WrittenFiles
from reconciler.manifests.export.sections import Sections, stack_of
from reconciler.manifests.export.service import service_keys
from reconciler.manifests.export.yaml_text import escaped, yaml_text
from reconciler.manifests.inputs import LoadInputs, Schemas
from reconciler.manifests.load import load
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.errors import SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, ObservedObject

PASSES_MAX: Final = 24
"""How often a repository is written and read again: each pass leaves out at least one key, and few are needed."""
STANDALONE_FILE: Final = "services.yaml"
_SECRETS_NOTE: Final = (
    "# Swarm never gives a secret's content back: `external` ones must exist before this is applied to another swarm.\n"
)

Residuals: TypeAlias = Callable[[DesiredState, ActualState], Mapping[str, JsonObject]]
"""What is left to say of each service, as `planning.residual.residuals` has it."""


class _AnyEnvironment(Mapping[str, str]):
    """An environment that has every variable: what would depend on the reader's own shows up as a difference."""

    def __getitem__(self, name: str) -> str:
        return "(from the environment)"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Rendered(msgspec.Struct):
    """`files` by path; `services` is {(path, key in the file): name in the cluster}."""

    files: dict[str, bytes] = msgspec.field(default_factory=dict)
    services: dict[tuple[str, str], str] = msgspec.field(default_factory=dict)


def exported(
    actual: ActualState, name: str, schemas: Schemas, residuals: Residuals
) -> tuple[dict[str, bytes], DesiredState]:
    """Return {path: content} of a repository named `name`, and what it asks for.

    Secrets are external references. Nothing in the files depends on the environment of whoever reads them. Raises
    SwarmctlError with the loader's problems if the cluster cannot be written down, which would be a bug.
    """
    inputs = LoadInputs(schemas, _AnyEnvironment(), "/", "/")
    choices = Choices()
    for number in range(1, PASSES_MAX + 1):
        rendered = _rendered(actual, name, choices)
        try:
            desired = load(WrittenFiles(rendered.files), inputs)
        except SwarmctlError as error:
            if number == PASSES_MAX or not choices.leave_out_faulty(error.problems, rendered.services):
                raise
            continue
        patches = dict(residuals(desired, actual))
        if choices.leave_out_replaced(patches):
            choices.patches = {}
            continue
        if not patches:
            break
        known = choices.patches
        choices.patches = known | {key: composed(known.get(key), patch) for key, patch in patches.items()}
        if choices.patches == known:
            break
    return rendered.files, desired


def _rendered(actual: ActualState, name: str, choices: Choices) -> _Rendered:
    rendered = _Rendered()
    groups = _groups(actual)
    listed: list[JsonObject] = []
    for stack in sorted(group for group in groups if group is not None):
        path = f"stacks/{stack}.yaml"
        listed.append({"path": path})
        _write(rendered, path, _Part(actual, groups[stack], stack, choices))
    if None in groups:
        # The file is no stack, and needs a name all the same that no stack has.
        taken = {str(group).lower() for group in groups}
        title = next(each for each in _titles() if each not in taken)
        listed.append({"path": STANDALONE_FILE} | ({"name": title} if title != "services" else {}))
        _write(rendered, STANDALONE_FILE, _Part(actual, groups[None], None, choices))
    rendered.files["swarm.yaml"] = (HEADER + yaml_text(cluster_document(actual, name, listed))).encode()
    return rendered


def _titles() -> Iterator[str]:
    yield "services"
    number = 2
    while True:
        yield f"services-{number}"
        number += 1


def _groups(actual: ActualState) -> dict[str | None, list[ObservedObject]]:
    """Return {stack: its objects}; None has what belongs to no stack and does not go into swarm.yaml."""
    groups: dict[str | None, list[ObservedObject]] = {}
    for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE):
        for found in sorted(actual.of_kind(kind), key=lambda one: (one.name, one.id)):
            stack = stack_of(found)
            if kind is Kind.NETWORK and (stack is None or not is_declarable(found)):
                continue
            groups.setdefault(stack, []).append(found)
    return groups


class _Part(msgspec.Struct, frozen=True):
    """What goes into one stack file."""

    actual: ActualState
    objects: list[ObservedObject]
    stack: str | None
    choices: Choices

    def of_kind(self, kind: Kind) -> list[ObservedObject]:
        return [found for found in self.objects if found.kind is kind]


def _write(rendered: _Rendered, path: str, part: _Part) -> None:
    stack, actual = part.stack, part.actual
    link = f"./{stack}" if stack else "./configs"
    sections = Sections(
        stack=stack,
        folder=f"stacks/{stack}" if stack else "configs",
        link=link,
        live={kind: {found.id: found for found in actual.of_kind(kind)} for kind in Kind},
        predefined={network_id: name for name, network_id in actual.predefined_networks},
        external=frozenset((section, key) for file, section, key in part.choices.external if file == path),
    )
    used = _used_ids(part.of_kind(Kind.SERVICE))
    for kind in (Kind.NETWORK, Kind.SECRET, Kind.CONFIG):
        # Of several versions of a config the one that a service uses is the one to declare.
        for found in sorted(part.of_kind(kind), key=lambda one: one.id not in used):
            sections.declared(found)
    services: JsonObject = {}
    for found in part.of_kind(Kind.SERVICE):
        key = found.name.removeprefix(f"{stack}_") or found.name
        key = found.name if key in services else key
        services[key] = service_keys(found, key, sections, part.choices)
        rendered.services[path, key] = found.name
    rendered.files[path] = _text(services, sections).encode()
    rendered.files.update(sections.inputs)


def _used_ids(services: list[ObservedObject]) -> set[str]:
    """Return the ids of the secrets and configs that services refer to."""
    containers = [(service.spec.get("TaskTemplate") or {}).get("ContainerSpec") or {} for service in services]
    return {
        reference.get(id_key) or ""
        for container in containers
        for list_key, id_key in (("Secrets", "SecretID"), ("Configs", "ConfigID"))
        for reference in container.get(list_key) or []
    }


def _text(services: JsonObject, sections: Sections) -> str:
    parts = [HEADER.rstrip("\n") + "\n"]
    if sections.stack is None:
        parts.append(yaml_text({"x-swarmctl": {"stack": False}}))
    parts.append(yaml_text({"services": escaped(services)}))
    for name, definitions in sections.sections.items():
        if definitions:
            note = _SECRETS_NOTE if name == "secrets" else ""
            parts.append(note + yaml_text({name: escaped(definitions)}))
    return "\n".join(parts)
