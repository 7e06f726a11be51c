"""Records that don't show all that they hold."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Discreet(msgspec.Struct, frozen=True):
    """A record whose representations leave out the fields of UNSHOWN: what is secret, and what nobody would read."""

    UNSHOWN: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what is shown, field by field: Rich asks for it, and would be given all of a Struct."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.UNSHOWN]
