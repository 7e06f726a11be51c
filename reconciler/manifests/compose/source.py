"""One stack file while it is turned into objects: its values, where they are written, what it may read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from reconciler.manifests.compose.layers import Places
from reconciler.manifests.compose.written import EnvironmentFiles
from reconciler.manifests.inputs import LoadInputs
from reconciler.manifests.paths import resolve
from reconciler.manifests.problems import KeyPath, ProblemList, did_you_mean, key_path_text, shown
from reconciler.manifests.quantities import BadQuantity
from reconciler.manifests.stand_ins import stand_in
from reconciler.manifests.value_hints import example_hint
from reconciler.model import labels
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, Problem, Severity, SwarmctlError
from reconciler.model.go_templates import BadGoTemplate, check_template
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.revision import Revision

_Number = TypeVar("_Number")

EXTENSION: Final = "x-swarmctl"
"""The key of what only swarmctl understands."""
SECTIONS: Final = ("services", "networks", "volumes", "secrets", "configs")


def sound_sections(value: JsonObject, broken: frozenset[tuple[str, str]]) -> dict[str, dict[str, JsonObject]]:
    """Return {section: {key: definition}} with {} in place of null and of definitions that are broken."""
    sections: dict[str, dict[str, JsonObject]] = {}
    for section in SECTIONS:
        found = value.get(section)
        sections[section] = {
            key: item if isinstance(item, dict) and (section, key) not in broken else {}
            for key, item in (found.items() if isinstance(found, dict) else ())
        }
    return sections


class Warned(msgspec.Struct, frozen=True):
    """A warning's sentences, and its text as docker words it ("" where docker says nothing)."""

    what: str
    why: str
    hint: str = ""
    docker: str = ""


class StackSource(Discreet, frozen=True):
    """A stack file whose variables are filled in and whose shape fits the schema, but for what is `broken`.

    Several merged files look like one: `document` then finds each value in the file that gave it.

    `path` is the file in the repository, the first of several; relative paths start from its folder. `value` is
    the document after substitution, `sections` its definitions by section and key. `broken` are the (section, key)
    pairs with an error inside: their definitions are empty in `sections`. Conversions report what is wrong here
    and go on, so that one run tells all. `standalone` is set by `x-swarmctl: {stack: false}` at the top: nothing in
    the file belongs to a stack, and services get what `docker service create` would give them. `rollback` is what its
    top says by `x-swarmctl: {rollback: stack}` or `none`, None where it says nothing.
    """

    UNSHOWN = frozenset({"value", "sections", "env_files"})

    revision: Revision
    path: str
    stack: str
    minor: int
    inputs: LoadInputs
    document: Places
    value: JsonObject
    sections: Mapping[str, Mapping[str, JsonObject]]
    broken: frozenset[tuple[str, str]]
    problems: ProblemList
    flaws: frozenset[tuple[str, ...]] = frozenset()
    """The paths of errors in the file, cut after the key of the definition that they are in."""
    standalone: bool = False
    rollback: str | None = None
    env_files: EnvironmentFiles = msgspec.field(default_factory=dict)
    """The files of variables that its services name, filled while they are read."""

    @property
    def owner(self) -> str | None:
        """The stack that the file's objects belong to, None when they belong to no stack."""
        return None if self.standalone else self.stack

    @property
    def folder(self) -> str:
        """The stack file's folder in the repository, which its relative paths start from."""
        return posixpath.dirname(self.path)

    @property
    def host_folder(self) -> str:
        """The same folder as an absolute path of this host."""
        return posixpath.normpath(posixpath.join(self.inputs.base_path, self.folder))

    def section(self, name: str) -> Mapping[str, JsonObject]:
        """Return {key: definition} of a top-level section; an empty definition stands for null or a broken one."""
        return self.sections[name]

    def is_sound(self, section: str, key: str) -> bool:
        """Return whether no error was found in one definition."""
        return (section, key) not in self.broken

    def scoped(self, name: str) -> str:
        """Return the full name of something of this stack: STACK_name; outside stacks the name itself."""
        return name if self.standalone else f"{self.stack}_{name}"

    def stack_labels(self, given: JsonValue) -> dict[str, str]:
        """Return labels with that of the stack among them; the stack's wins over a given one."""
        return dict(given) if self.standalone else {**given, labels.STACK_NAMESPACE: self.stack}

    def read(self, written: str, at: KeyPath) -> bytes | None:
        """Return the content of a file that the stack names, or None after telling why not."""
        place = self.document.place(at)
        path = resolve(self.folder, written)
        if path is None:
            what = f"`{key_path_text(at)}` names a file outside the repository."
            why = f"The path {self.shown(at, written)} is absolute or leads out by `..`."
            hint = "Put the file into the repository and name it relative to the stack file."
            self.problems.add(Problem(ErrorCode.PATH_ESCAPES, what, why, hint, place))
            return None
        try:
            content = self.revision.read(path)
        except SwarmctlError as error:
            self.problems.add_error(error, place)
            return None
        problem = stand_in(content, self.revision.display(path), place)
        if problem is not None:
            self.problems.add(problem)
            return None
        return content

    def shown(self, at: KeyPath, value: str) -> str:
        """Return how a message names the text at `at`: as written, since a variable may hold a secret."""
        source = self.document.source(at)
        return shown(value if source is None else source)

    def invalid(self, at: KeyPath, what: str, why: str = "", hint: str = "") -> None:
        """Tell that the value at `at` makes no sense; without a `why` the reason is what is written there."""
        source = None if why else self.document.source(at)
        why = why if source is None else f"Here it is {shown(source)}."
        self.problems.add(Problem(ErrorCode.INVALID_VALUE, what, why, hint, self.document.place(at)))

    def missing(self, at: KeyPath, what: str, hint: str) -> None:
        """Tell that something required is not in the mapping at `at`."""
        place = self.document.key_place(at)
        self.problems.add(Problem(ErrorCode.MISSING_KEY, what, "It cannot be made without.", hint, place))

    def warn(self, at: KeyPath, told: Warned) -> None:
        """Tell something worth knowing about the key at `at`."""
        place = self.document.key_place(at)
        self.problems.add(
            Problem(ErrorCode.UNSUPPORTED_KEY, told.what, told.why, told.hint, place, Severity.WARNING, told.docker)
        )

    def check_template(self, at: KeyPath, text: str) -> None:
        """Tell when Swarm could not expand the Go template in `text`, which may hold a secret."""
        try:
            check_template(text)
        except BadGoTemplate as error:
            why = f"Swarm expands templates there, and {error}."
            hint = "Fields are .Service.ID, .Service.Name, .Service.Labels, .Node.Hostname, .Task.Slot and the like; "
            hint += 'write {{"{{"}} for plain braces.'
            self.invalid(at, f"`{key_path_text(at)}` holds a template that cannot be expanded.", why, hint)

    def undefined(self, at: KeyPath, section: str, name: str, known: Iterable[str]) -> None:
        """Tell that the value at `at` names something that its section does not have.

        A name in a mapping of references stands in its key, one in a list or a `source` in the value.
        """
        noun = section.removesuffix("s")
        by_key = bool(at) and at[-1] == name
        # A short form such as data:/path holds more than the name; a name that a variable gave stays untold.
        is_told = by_key or name in (self.document.source(at) or "")
        written = shown(name) if is_told else self.shown(at, name)
        what = f"`{key_path_text(at)}` refers to the {noun} {written}, which is not defined."
        why = f"The file's top-level `{section}` has no such key."
        names = list(known)
        hint = did_you_mean(name, names, noun=section) if names else f"Declare it under a top-level `{section}:`."
        place = self.document.key_place(at) if by_key else self.document.place(at)
        self.problems.add(Problem(ErrorCode.UNDEFINED_REFERENCE, what, why, hint, place))

    def quantity(self, at: KeyPath, text: JsonValue, read: Callable[[str], _Number]) -> _Number | None:
        """Return `read(text)`, or None after telling what is wrong; None and "" give None at once."""
        if text is None or text == "":
            return None
        try:
            return read(text)
        except BadQuantity as error:
            what = f"`{key_path_text(at)}` must be {error}."
            self.invalid(at, what, f"Here it is {self.shown(at, text)}.", example_hint(str(error)))
            return None


def without_empty(value: JsonObject) -> JsonObject:
    """Return `value` without the fields that Go omits: null, "", 0, false, [] and {}."""
    return {key: item for key, item in value.items() if item}


def without_null(value: JsonObject) -> JsonObject:
    """Return `value` without its null fields."""
    return {key: item for key, item in value.items() if item is not None}
