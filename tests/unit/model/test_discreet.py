"""What a record must not show is shown by none of its representations."""

from __future__ import annotations

import importlib
import pkgutil

from rich.pretty import pretty_repr

import reconciler
from reconciler.model.discreet import Discreet
from reconciler.model.forges import ForgeAddress, ForgeName
from reconciler.model.tables import JoinTokens

NOT_IMPORTED = ("reconciler.adapters.raft_pysyncobj",)
"""It changes the library that it imports."""


class Wide(JoinTokens, frozen=True):
    UNSHOWN = frozenset({"worker"})

    place: str


def test_neither_repr_nor_rich_shows_what_is_unshown():
    tokens = JoinTokens(worker="SWMTKN-w", manager="SWMTKN-m")
    assert repr(tokens) == pretty_repr(tokens) == "JoinTokens()"
    wide = Wide("SWMTKN-w", "m", "here")
    assert repr(wide) == pretty_repr(wide) == "Wide(manager='m', place='here')"


def test_a_record_inside_another_is_as_discreet():
    inside = [ForgeAddress(ForgeName.GITHUB, "https://example.com", "o/r", "s3cret-token")]
    assert "s3cret-token" not in repr(inside) + pretty_repr(inside)
    assert "example.com" in repr(inside)


def test_what_is_unshown_is_a_field():
    """A name that is misspelt would hide nothing."""
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.startswith(NOT_IMPORTED) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    pending = Discreet.__subclasses__()
    assert len(pending) > 20
    for kind in pending:
        assert kind.UNSHOWN, kind
        assert set(kind.__struct_fields__) >= kind.UNSHOWN, kind
