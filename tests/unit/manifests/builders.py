"""A repository in memory, and what loading it gives."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from reconciler.adapters.schema_files import read_schemas
from reconciler.manifests.load import LoadInputs, load, load_stack_file
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind

SCHEMAS = read_schemas()
CLUSTER = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: test}\n"


@dataclass
class MemoryRevision:
    """Files by path. Satisfies reconciler.model.revision.Revision."""

    files: Mapping[str, bytes]
    folder: str = ""
    label: str = "memory"
    commit: str | None = None
    reads: list[str] = field(default_factory=list)

    def display(self, path: str) -> str:
        return path

    def exists(self, path: str) -> bool:
        return path in self.files

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        if path not in self.files:
            raise SwarmctlError(ErrorCode.FILE_NOT_FOUND, f"{path} does not exist.", why="-", hint="-")
        return self.files[path]

    def files_under(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.files if path.rpartition("/")[0] == folder))


def revision(files: Mapping[str, str | bytes]) -> MemoryRevision:
    return MemoryRevision(
        {path: text if isinstance(text, bytes) else textwrap.dedent(text).encode() for path, text in files.items()}
    )


def inputs(**environment: str) -> LoadInputs:
    return LoadInputs(SCHEMAS, environment, "/home/me", "/repository")


def loaded(files: Mapping[str, str | bytes], **environment: str) -> DesiredState:
    """Return the state that a folder asks for; a swarm.yaml is added when the files have none."""
    return load(revision({"swarm.yaml": CLUSTER} | dict(files)), inputs(**environment))


def problems(files: Mapping[str, str | bytes], **environment: str) -> tuple[Problem, ...]:
    """Return what is wrong with a folder."""
    with pytest.raises(SwarmctlError) as caught:
        loaded(files, **environment)
    return caught.value.problems


def stack(text: str | bytes, files: Mapping[str, str | bytes] | None = None, **environment: str) -> DesiredState:
    """Return the state that one stack file asks for, deployed as `s`."""
    return load_stack_file(revision({"web.yaml": text} | dict(files or {})), "web.yaml", "s", inputs(**environment))


def stack_problems(
    text: str | bytes, files: Mapping[str, str | bytes] | None = None, **environment: str
) -> tuple[Problem, ...]:
    """Return what is wrong with one stack file."""
    with pytest.raises(SwarmctlError) as caught:
        stack(text, files, **environment)
    return caught.value.problems


def the_problem(text: str | bytes, **environment: str) -> Problem:
    """Return the only thing that is wrong with one stack file."""
    [problem] = stack_problems(text, None, **environment)
    return problem


def service(
    keys: str, rest: str = "", files: Mapping[str, str | bytes] | None = None, **environment: str
) -> JsonObject:
    """Return the create body of a service `a` with an image and these keys."""
    text = (
        "services:\n  a:\n    image: i\n"
        + textwrap.indent(textwrap.dedent(keys), "    ")
        + "\n"
        + textwrap.dedent(rest)
    )
    [found] = stack(text, files, **environment).of_kind(Kind.SERVICE)
    return found.spec


def container(
    keys: str, rest: str = "", files: Mapping[str, str | bytes] | None = None, **environment: str
) -> JsonObject:
    """Return the ContainerSpec of such a service."""
    spec: JsonObject = service(keys, rest, files, **environment)["TaskTemplate"]["ContainerSpec"]
    return spec


def service_problem(keys: str, rest: str = "", **environment: str) -> Problem:
    """Return the only thing that is wrong with such a service."""
    text = (
        "services:\n  a:\n    image: i\n"
        + textwrap.indent(textwrap.dedent(keys), "    ")
        + "\n"
        + textwrap.dedent(rest)
    )
    return the_problem(text, **environment)
