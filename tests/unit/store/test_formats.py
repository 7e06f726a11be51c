"""What is on disks and in other versions' logs: a change of it has to be meant."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from reconciler.model import nodes, tables
from reconciler.model.changes import TableKind
from reconciler.store.codec import COMMAND_NAMES, ENTRY_FORMAT
from reconciler.store.snapshot import SNAPSHOT_FORMAT

WRITTEN = Path(__file__).with_name("formats.txt")


def _shape(kind: type[Any]) -> str:
    if is_dataclass(kind):
        return ", ".join(f"{field.name}: {field.type}" for field in fields(kind))
    told = {
        name: shape for one in reversed(kind.__mro__) for name, shape in vars(one).get("__annotations__", {}).items()
    }
    return ", ".join(f"{name}: {told[name]}" for name in kind.__struct_fields__)


def _formats() -> str:
    own = (nodes.__name__, tables.__name__)
    stored = [one for one in vars(tables).values() if isinstance(one, type) and one.__module__ in own]
    shaped = [one for one in stored if is_dataclass(one) or issubclass(one, msgspec.Struct)]
    records = {one.__name__: one for one in shaped if one not in (tables.Tables, tables.Indexes)}
    lines = [f"entries: format {ENTRY_FORMAT}", *(f"{name}({_shape(kind)})" for name, kind in COMMAND_NAMES.items())]
    lines += [
        "",
        f"snapshots: format {SNAPSHOT_FORMAT}",
        *(f"{name}({_shape(kind)})" for name, kind in records.items()),
    ]
    return "\n".join([*lines, "", "tables: " + ", ".join(TableKind), ""])


def test_a_change_of_what_is_stored_raises_the_format() -> None:
    """If it fails: raise ENTRY_FORMAT or SNAPSHOT_FORMAT, keep the old one readable, and rewrite with UPDATE_GOLDEN=1.

    Before the first release a changed shape needs the rewriting only.
    """
    if os.environ.get("UPDATE_GOLDEN"):
        WRITTEN.write_text(_formats(), encoding="utf-8")
    assert _formats() == WRITTEN.read_text(encoding="utf-8")
