"""What works with every Python 3.11, Debian 12's own 3.11.2 among them, and not only with the one that runs this."""

from __future__ import annotations

import re
from pathlib import Path

import reconciler

POSSESSIVE_GROUP = re.compile(r"[^(]\)(?:[*+?]|\{[0-9,]*\})\+|\(\?>")


def test_no_pattern_has_a_possessive_group():
    # Up to Python 3.11.4 they match wrongly (python/cpython#106052): `{{.Task.Slot}}` was "not closed" on Debian 12.
    found = [
        f"{file.name}: {line}"
        for file in Path(reconciler.__file__).parent.rglob("*.py")
        for line in file.read_text().splitlines()
        if POSSESSIVE_GROUP.search(line)
    ]
    assert found == []
