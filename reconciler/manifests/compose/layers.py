"""The values of one stack file, or of several merged ones, with the file and path that each value came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from reconciler.manifests.problems import KeyPath
from reconciler.model.errors import Place
from reconciler.model.json import JsonObject


class Places(Protocol):
    """Where values are written. A Document is one; so are the places of merged documents."""

    @property
    def file(self) -> str:
        """How messages name the file, the first of several."""
        ...

    def place(self, path: KeyPath) -> Place:
        """Return where the value at `path` is written, or the nearest value around it that is."""
        ...

    def key_place(self, path: KeyPath) -> Place:
        """Return where the key of the value at `path` is written; for a list item, where the item is."""
        ...

    def source(self, path: KeyPath) -> str | None:
        """Return the scalar at `path` as the file writes it, without quotes; None where there is no scalar."""
        ...


Origin: TypeAlias = tuple[Places, KeyPath]
"""The file that gave a value, and the value's path in that file."""


@dataclass(slots=True)
class Layer:
    """Sections of a stack, {section: {key: definition}}, and where their values came from.

    `origins` is sparse: a value below a path that it names came from below the same origin. It always has the
    root's. `value` may share parts with what it was made from: replace them, never change them.
    """

    value: dict[str, dict[str, JsonObject]]
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Return the origin of the value at `path`."""
        for length in range(len(path), -1, -1):
            found = self.origins.get(path[:length])
            if found is not None:
                return found[0], found[1] + path[length:]
        raise KeyError(path)

    def taken(self, path: KeyPath, other: Layer, other_path: KeyPath) -> None:
        """Note that the value at `path` is now the one that `other` has at `other_path`."""
        for known in [known for known in self.origins if known[: len(path)] == path and known]:
            del self.origins[known]
        self.origins[path] = other.origin(other_path)
        for known, origin in list(other.origins.items()):
            if known[: len(other_path)] == other_path:
                self.origins[path + known[len(other_path) :]] = origin

    def listed(self, path: KeyPath, items: Iterable[tuple[Layer, KeyPath]]) -> None:
        """Note where each item of the list at `path` came from, in order."""
        collected = Layer({}, {})
        for index, (layer, at) in enumerate(items):
            collected.taken((*path, index), layer, at)
        for known in [known for known in self.origins if len(known) > len(path) and known[: len(path)] == path]:
            del self.origins[known]
        self.origins.update(collected.origins)


@dataclass(frozen=True, slots=True)
class MergedPlaces:
    """Places of merged files: each value's is in the file that gave the winning value."""

    file: str
    origins: Layer

    def place(self, path: KeyPath) -> Place:
        """Return where the value at `path` is written, in the file that gave it."""
        places, at = self.origins.origin(path)
        return places.place(at)

    def key_place(self, path: KeyPath) -> Place:
        """Return where the key of the value at `path` is written, in the file that gave it."""
        places, at = self.origins.origin(path)
        return places.key_place(at)

    def source(self, path: KeyPath) -> str | None:
        """Return the scalar at `path` as its file writes it; None where there is no scalar."""
        places, at = self.origins.origin(path)
        return places.source(at)


def keyed_origins(at: KeyPath, names: Mapping[str, int], places: Places) -> dict[KeyPath, Origin]:
    """Return the origins of a mapping's values at `at` that were items of a list there: {name: index}."""
    return {(*at, name): (places, (*at, index)) for name, index in names.items()}
