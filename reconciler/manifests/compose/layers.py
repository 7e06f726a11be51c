"""The values of one stack file, or of several merged ones, with the file and path that each value came from."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

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

    def origin(self, path: KeyPath) -> Origin:
        """Return the single file that gave the value at `path`, and the value's path in that file."""
        ...


Origin: TypeAlias = tuple[Places, KeyPath]
"""The file that gave a value, and the value's path in that file."""


class Origins(msgspec.Struct):
    """Where the values of a layer came from, as a tree by path: most values have their parent's origin.

    A tree, since a merge of large files replaces many parts, each with all that is below it.
    """

    own: Origin | None = None
    """The origin of the value itself; None: the parent's says it."""
    below: dict[str | int, Origins] = msgspec.field(default_factory=dict)

    def of(self, path: KeyPath) -> Origin:
        """Return the origin of the value at `path`. The root's own must be set."""
        spot: Origins | None = self
        found, length = self.own, 0
        for depth, step in enumerate(path, start=1):
            spot = spot.below.get(step) if spot is not None else None
            if spot is None:
                break
            if spot.own is not None:
                found, length = spot.own, depth
        assert found is not None
        return found[0], found[1] + path[length:]

    def at(self, path: KeyPath) -> Origins:
        """Return the origin of the value at `path` with those of all below it, to be put elsewhere."""
        spot: Origins | None = self
        for step in path:
            spot = spot.below.get(step) if spot is not None else None
        return Origins(self.of(path), spot.below if spot is not None else {})

    def put(self, path: KeyPath, origins: Origins) -> None:
        """Set the origins of the value at `path`, which must not be the root, and of all below it."""
        spot = self
        for step in path[:-1]:
            spot = spot.below.setdefault(step, Origins())
        spot.below[path[-1]] = origins


class Layer(msgspec.Struct, frozen=True):
    """Sections of a stack, {section: {key: definition}}, and where their values came from.

    `value` may share parts with what it was made from: replace them, never change them.
    """

    value: dict[str, dict[str, JsonObject]]
    origins: Origins


class MergedPlaces(msgspec.Struct, frozen=True):
    """Places of merged files: each value's is in the file that gave the winning value."""

    file: str
    origins: Origins

    def place(self, path: KeyPath) -> Place:
        """Return where the value at `path` is written, in the file that gave it."""
        places, at = self.origins.of(path)
        return places.place(at)

    def key_place(self, path: KeyPath) -> Place:
        """Return where the key of the value at `path` is written, in the file that gave it."""
        places, at = self.origins.of(path)
        return places.key_place(at)

    def source(self, path: KeyPath) -> str | None:
        """Return the scalar at `path` as its file writes it; None where there is no scalar."""
        places, at = self.origins.of(path)
        return places.source(at)

    def origin(self, path: KeyPath) -> Origin:
        """Return the file that gave the value at `path`, and the value's path in that file."""
        return self.origins.of(path)
