"""Values on their way into the replicated store, whose records have a limit: every text in them has one, too. Pure.

What others wrote (errors of tasks, subjects of commits, reasons) may be of any length. A record that the store refuses
for its size would have its pass fail, and each after it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

TEXT_CHARS_MAX: Final = 1000
"""Characters of one text in a record."""
ITEMS_MAX: Final = 2000
"""Items of one list in a record; names of stacks, mostly."""
RECORD_BYTES_MAX: Final = 256 * 1024
"""Bytes of a record of ours; the store takes 1,024,000. Texts give way until it fits."""
SHORT_CHARS: Final = 100
"""Longer than any id of a commit."""


def encoded(value: Any) -> bytes:
    """Return a record's bytes. The same value gives the same, and what was read from a record gives that record."""
    made = msgspec.json.encode(value)
    if len(made) <= TEXT_CHARS_MAX:
        return made  # nothing in it can be longer
    plain = msgspec.to_builtins(value)
    made = msgspec.json.encode(_cut(plain, TEXT_CHARS_MAX))
    return made if len(made) <= RECORD_BYTES_MAX else msgspec.json.encode(_cut(plain, SHORT_CHARS))


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1] + "…"
    if isinstance(value, dict):
        return {key: _cut(one, longest) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(one, longest) for one in value[:ITEMS_MAX]]
    return value
