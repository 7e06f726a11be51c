"""What was made of each stack, and of what: so that a reload makes anew only the stacks whose inputs changed.

A Compilation is a value: a load takes the last one and returns the next. The inputs of a stack are the bytes of
every file that it reads, the variables that it looks up (those that are not set too), and what the surroundings
say. They are noted while it is compiled, so that nothing has to be known of stack files here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from reconciler.manifests.compose.stack_file import StackObjects, StackPath, stack_objects
from reconciler.manifests.inputs import LoadInputs, Schemas
from reconciler.manifests.problems import ProblemList
from reconciler.model.desired import DesiredState
from reconciler.model.discreet import Discreet
from reconciler.model.errors import Problem, SwarmctlError
from reconciler.model.revision import Revision


class StackKey(msgspec.Struct, frozen=True):
    """What must be the same for a compiled stack to be looked at again. `shown` is how messages name its files."""

    stack: str
    paths: tuple[str, ...]
    shown: tuple[str, ...]
    home: str
    base_path: str


class CompiledStack(Discreet, frozen=True):
    """The objects of one sound stack with its warnings, and the inputs that they were made of.

    `reads` has the SHA-256 of each file by path; `variables` the value of each variable looked up, None for unset.
    """

    UNSHOWN = frozenset({"objects", "reads", "variables"})

    objects: StackObjects
    warnings: tuple[Problem, ...]
    schemas: Schemas
    reads: Mapping[str, bytes]
    variables: Mapping[str, str | None]

    def is_current(self, revision: Revision, inputs: LoadInputs) -> bool:
        """Return whether a compilation of the same stack would give the same. Reads its files."""
        if self.schemas is not inputs.schemas and self.schemas != inputs.schemas:
            return False
        if any(inputs.environment.get(name) != value for name, value in self.variables.items()):
            return False
        try:
            return all(_digest(revision.read(path)) == digest for path, digest in self.reads.items())
        except SwarmctlError:
            return False


class Compilation(Discreet, frozen=True):
    """What one Revision asks for, and its stacks as they were compiled, for the next load.

    `fresh` names the stacks that were compiled for it, in order; the others were taken from the one before.
    """

    UNSHOWN = frozenset({"stacks"})

    state: DesiredState
    stacks: Mapping[StackKey, CompiledStack]
    fresh: tuple[str, ...] = ()


class StackCompiler(msgspec.Struct):
    """Compiles the stacks of one load, each at most once. `before` are those of the load before."""

    revision: Revision
    inputs: LoadInputs
    problems: ProblemList
    before: Mapping[StackKey, CompiledStack]
    compiled: dict[StackKey, CompiledStack] = msgspec.field(default_factory=dict)
    fresh: list[str] = msgspec.field(default_factory=list)

    def objects(self, where: StackPath) -> StackObjects:
        """Return what a stack declares; problems go to `problems`, and a stack with errors is not kept."""
        key = self._key(where)
        known = self.before.get(key)
        if known is None or not known.is_current(self.revision, self.inputs):
            return self._compile(where, key)
        self.compiled[key] = known
        for warning in known.warnings:
            self.problems.add(warning)
        return known.objects

    def _key(self, where: StackPath) -> StackKey:
        paths = (where.path, *where.overrides)
        shown = tuple(self.revision.display(path) for path in paths)
        return StackKey(where.stack, paths, shown, self.inputs.home, self.inputs.base_path)

    def _compile(self, where: StackPath, key: StackKey) -> StackObjects:
        files = _NotingRevision(self.revision)
        variables = _NotingEnvironment(self.inputs.environment)
        errors, warnings = len(self.problems.errors), len(self.problems.warnings)
        objects = stack_objects(files, where, replace(self.inputs, environment=variables), self.problems)
        self.fresh.append(where.stack)
        if len(self.problems.errors) == errors and not self.problems.has_enough_warnings:
            told = tuple(self.problems.warnings[warnings:])
            self.compiled[key] = CompiledStack(objects, told, self.inputs.schemas, files.reads, variables.looked_up)
        return objects


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class _NotingRevision:
    """A Revision that notes what is read of it."""

    def __init__(self, revision: Revision) -> None:
        self._revision = revision
        self.reads: dict[str, bytes] = {}
        self.label, self.commit, self.folder = revision.label, revision.commit, revision.folder
        self.display, self.exists, self.files_under = revision.display, revision.exists, revision.files_under

    def read(self, path: str) -> bytes:
        content = self._revision.read(path)
        self.reads[path] = _digest(content)
        return content


class _NotingEnvironment(Mapping[str, str]):
    """An environment that notes which variables are looked up. Nobody may walk through it: that would note all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.looked_up: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        value = self._environment.get(name)
        self.looked_up[name] = value
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        raise TypeError("only single variables can be looked up")

    def __len__(self) -> int:
        return len(self._environment)
