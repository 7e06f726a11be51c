"""What is kept of a stack's files so that the line of a field can be found later: nothing is worked out before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from reconciler.manifests.compose.layers import Places
from reconciler.manifests.problems import KeyPath
from reconciler.manifests.spec_path import below
from reconciler.model.discreet import Discreet
from reconciler.model.errors import Place
from reconciler.model.json import JsonObject

ENV_FILE: Final = "env_file"


class EnvironmentFile(Discreet, frozen=True):
    """A file of NAME=value lines that a service names. `file` is how messages name it."""

    UNSHOWN = frozenset({"text"})

    file: str
    text: str

    def place(self, name: str) -> Place | None:
        """Return the line that gives the variable its value, the last of several, or None."""
        found: Place | None = None
        for number, raw in enumerate(self.text.split("\n"), start=1):
            line = raw.removesuffix("\r")
            bare = line.lstrip()
            if not bare.startswith("#") and bare.partition("=")[0] == name:
                found = Place(self.file, number, len(line) - len(bare) + 1, name)
        return found


EnvironmentFiles: TypeAlias = dict[tuple[str, KeyPath], EnvironmentFile]
"""By the stack file and the path of the `env_file` entry in it, in the order in which they are read."""


class WrittenStack(Discreet, frozen=True):
    """One stack's definitions, variables filled in, and where they are written.

    `stack` is the stack's name, None when the objects belong to none.
    """

    UNSHOWN = frozenset({"document", "sections", "env_files"})

    document: Places
    sections: Mapping[str, Mapping[str, JsonObject]]
    stack: str | None
    env_files: EnvironmentFiles

    def section(self, name: str) -> Mapping[str, JsonObject]:
        """Return {key: definition} of a top-level section."""
        return self.sections[name]

    def scoped(self, name: str) -> str:
        """Return the full name of something of this stack."""
        return name if self.stack is None else f"{self.stack}_{name}"

    def place(self, path: KeyPath, name: str) -> Place:
        """Return where the key at `path` is written; a variable `name` of an env_file: its line there."""
        return self.environment_line(path, name) or self.document.key_place(path)

    def environment_line(self, path: KeyPath, name: str) -> Place | None:
        """Return the line of a variable in the files that `env_file` names, where the value at `path` is from them."""
        places, spot = self.document.origin(path)
        if spot[2:3] != (ENV_FILE,):
            return None
        for (file, entry), content in reversed(self.env_files.items()):
            if file == places.file and entry[: len(spot)] == spot and (found := content.place(name)) is not None:
                return found
        return None


class Definition(Discreet, frozen=True):
    """One definition of a stack file. `at` is its path: section and key."""

    UNSHOWN = frozenset({"value"})

    written: WrittenStack
    at: tuple[str, str]
    value: JsonObject

    def given(self, *keys: str | int) -> KeyPath | None:
        """Return the file's path of the value below the definition, None when nothing is given there."""
        return None if below(self.value, keys) is None else (*self.at, *keys)

    def nearest(self, keys: KeyPath) -> KeyPath:
        """Return the file's path of the value below the definition, or of the nearest around it that is given."""
        length = len(keys)
        while length and below(self.value, keys[:length]) is None:
            length -= 1
        return (*self.at, *keys[:length])
