"""JSON as Go's decoder reads it from a stream: the first value of a text, and its complaints where there is none."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

INTEGER_DIGITS_MAX = 400
"""Longer ones are of no type that the API has; Python would refuse to read them."""
BLANK = b" \t\r\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
_LITERALS = (b"true", b"false", b"null")
_ESCAPES = b'"\\/bfnrt'
_HEX = b"0123456789abcdefABCDEF"


class Pairs(list[tuple[str, Any]]):
    """An object: its keys and values in order, a key that comes twice twice."""


class Literal(str):
    """A number that is no integer, as it was written."""

    __slots__ = ()


Parsed: TypeAlias = Any
"""None, bool, int, Literal, str, a list of these, or Pairs."""


class Malformed(ValueError):
    """A text that is no JSON; says so in Go's words. Quotes one character of it at most: it may hold a secret."""


class _NoConstant(ValueError):
    pass


def _refuse(_: str) -> Any:
    raise _NoConstant


def _integer(text: str) -> int | Literal:
    return int(text) if len(text) <= INTEGER_DIGITS_MAX else Literal(text)


_decoder = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_float=Literal, parse_int=_integer, parse_constant=_refuse, strict=True
)


def first_value(content: bytes) -> Parsed:
    """Return the first value of a text; whatever follows it is not read. Raises Malformed, RecursionError.

    What is no UTF-8 becomes replacement characters, as in Go.
    """
    return _value(content)[0]


def only_value(content: bytes) -> Parsed:
    """Return the value of a text that holds nothing else. Raises as `first_value`."""
    found, rest = _value(content)
    if rest:
        raise Malformed(f"invalid character {_quoted(rest.encode()[0])} after top-level value")
    return found


def _value(content: bytes) -> tuple[Parsed, str]:
    """Return the first value of a text, and what follows it."""
    text = content.decode("utf-8", "replace")
    begin = _BLANKS.match(text)
    try:
        found, end = _decoder.raw_decode(text, begin.end() if begin else 0)
    except ValueError:
        raise Malformed(_complaint(content)) from None
    return found, text[end:].strip(" \t\r\n")


def _complaint(content: bytes) -> str:
    try:
        _Scan(content).value()
    except _Stop as stop:
        return stop.text
    except RecursionError:
        return "exceeded max depth"
    return "invalid JSON"


class _Stop(Exception):
    def __init__(self, text: str) -> None:
        self.text = text


class _Scan:
    """Walks through a text until it is no JSON any more."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def _blank(self) -> None:
        while self._at < len(self._content) and self._content[self._at] in BLANK:
            self._at += 1

    def _next(self) -> int:
        if self._at >= len(self._content):
            raise _Stop("unexpected EOF")
        return self._content[self._at]

    def _bad(self, context: str) -> _Stop:
        return _Stop(f"invalid character {_quoted(self._next())} {context}")

    def value(self) -> None:
        self._blank()
        begins = self._next()
        if begins == ord("{"):
            self._object()
        elif begins == ord("["):
            self._array()
        elif begins == ord('"'):
            self._string()
        elif begins in b"-0123456789":
            self._number()
        else:
            literal = next((one for one in _LITERALS if one[0] == begins), None)
            if literal is None:
                raise self._bad("looking for beginning of value")
            self._literal(literal)

    def _literal(self, literal: bytes) -> None:
        for wanted in literal:
            if self._next() != wanted:
                begin = literal.decode()
                raise self._bad(f"in literal {begin} (expecting {_quoted(wanted)})")
            self._at += 1

    def _object(self) -> None:
        self._at += 1
        self._blank()
        if self._next() == ord("}"):
            self._at += 1
            return
        while True:
            self._blank()
            if self._next() != ord('"'):
                raise self._bad("looking for beginning of object key string")
            self._string()
            self._blank()
            if self._next() != ord(":"):
                raise self._bad("after object key")
            self._at += 1
            self.value()
            if self._ended(ord("}"), "after object key:value pair"):
                return

    def _array(self) -> None:
        self._at += 1
        self._blank()
        if self._next() == ord("]"):
            self._at += 1
            return
        while True:
            self.value()
            if self._ended(ord("]"), "after array element"):
                return

    def _ended(self, closing: int, context: str) -> bool:
        self._blank()
        found = self._next()
        if found not in (closing, ord(",")):
            raise self._bad(context)
        self._at += 1
        return found == closing

    def _string(self) -> None:
        self._at += 1
        while (found := self._next()) != ord('"'):
            if found < 0x20:
                raise self._bad("in string literal")
            self._at += 1
            if found == ord("\\"):
                self._escape()
        self._at += 1

    def _escape(self) -> None:
        if self._next() in _ESCAPES:
            self._at += 1
            return
        if self._next() != ord("u"):
            raise self._bad("in string escape code")
        self._at += 1
        for _ in range(4):
            if self._next() not in _HEX:
                raise self._bad("in \\u hexadecimal character escape")
            self._at += 1

    def _digits(self, context: str) -> None:
        if self._next() not in b"0123456789":
            raise self._bad(context)
        while self._at < len(self._content) and self._content[self._at] in b"0123456789":
            self._at += 1

    def _peeks(self, characters: bytes) -> bool:
        return self._at < len(self._content) and self._content[self._at] in characters

    def _number(self) -> None:
        if self._peeks(b"-"):
            self._at += 1
        if self._peeks(b"0"):
            self._at += 1
        else:
            self._digits("in numeric literal")
        if self._peeks(b"."):
            self._at += 1
            self._digits("after decimal point in numeric literal")
        if self._peeks(b"eE"):
            self._at += 1
            if self._peeks(b"+-"):
                self._at += 1
            self._digits("in exponent of numeric literal")


def _quoted(byte: int) -> str:
    """Return one byte as Go quotes it."""
    known = {ord("'"): "'\\''", ord('"'): "'\"'", ord("\n"): "'\\n'", ord("\t"): "'\\t'", ord("\r"): "'\\r'"}
    known |= {7: "'\\a'", 8: "'\\b'", 11: "'\\v'", 12: "'\\f'", ord("\\"): "'\\\\'"}
    if byte in known:
        return known[byte]
    printable = 0x20 <= byte < 0x7F or (byte > 0xA0 and byte != 0xAD)
    shown = f"\\x{byte:02x}" if byte < 0x80 else f"\\u{byte:04x}"
    return f"'{chr(byte) if printable else shown}'"
