"""How deep a piece of msgpack is nested, found without recursion.

Decoders recurse, and give up where the stack ends. That depends on who calls and differs from manager to manager, so
what is nested too deep has to be refused before a decoder sees it.
"""

from __future__ import annotations


class _Shape:
    """What one leading byte stands for: `fixed` bytes or children, and how many bytes of a length follow it."""

    __slots__ = ("children", "fixed", "length_bytes")

    def __init__(self, fixed: int = 0, length_bytes: int = 0, children: int = 0) -> None:
        self.fixed = fixed
        self.length_bytes = length_bytes
        self.children = children  # values for each of the counted: 0 for plain bytes, 1 for arrays, 2 for maps


def _shape(lead: int) -> _Shape:
    """Source: the msgpack specification, "Formats"."""
    if 0x80 <= lead <= 0x8F:
        return _Shape(lead & 0x0F, children=2)
    if 0x90 <= lead <= 0x9F:
        return _Shape(lead & 0x0F, children=1)
    if 0xA0 <= lead <= 0xBF:
        return _Shape(lead & 0x1F)
    return _OTHERS.get(lead, _Shape())


_OTHERS = {
    **{0xC4 + n: _Shape(0, 1 << n) for n in range(3)},  # bin
    **{0xC7 + n: _Shape(1, 1 << n) for n in range(3)},  # ext: one more byte for its type
    **{0xCA + n: _Shape(4 << n) for n in range(2)},  # float
    **{0xCC + n: _Shape(1 << n) for n in range(4)},  # unsigned
    **{0xD0 + n: _Shape(1 << n) for n in range(4)},  # signed
    **{0xD4 + n: _Shape(1 + (1 << n)) for n in range(5)},  # ext of fixed size
    **{0xD9 + n: _Shape(0, 1 << n) for n in range(3)},  # str
    **{0xDC + n: _Shape(0, 2 << n, children=1) for n in range(2)},
    **{0xDE + n: _Shape(0, 2 << n, children=2) for n in range(2)},
}
_SHAPES = tuple(_shape(lead) for lead in range(256))
NOT_CONTAINERS = bytes(lead for lead in range(256) if not _SHAPES[lead].children)
"""What is left without these could begin an array or a map: nearly always so little that a look at the rest is idle."""


def is_nested_beyond(data: bytes, levels: int) -> bool:
    """Return whether the first value in `data` holds arrays and maps more than `levels` deep.

    Broken msgpack counts as far as it can be read: a decoder goes no deeper than that either.
    """
    position, end = 0, len(data)
    still_open = [1]  # values that each open container still has to come, the outermost first
    while still_open and position < end:
        if still_open[-1] == 0:
            still_open.pop()
            continue
        still_open[-1] -= 1
        shape = _SHAPES[data[position]]
        body = position + 1 + shape.length_bytes
        size = shape.fixed + int.from_bytes(data[position + 1 : body], "big")
        if shape.children:
            still_open.append(size * shape.children)
            if len(still_open) - 1 > levels:
                return True
            position = body
        else:
            position = body + size
    return False
