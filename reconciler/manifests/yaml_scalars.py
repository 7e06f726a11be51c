"""What a YAML scalar means to docker: the rules of Go's yaml.v3, which are neither YAML 1.1 nor PyYAML's.

Source: measured on docker CLI 28.2 (docs/decisions/0006), and the grammar of Go's strconv.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

STANDARD_TAG: Final = "tag:yaml.org,2002:"

NAMED: Final[Mapping[str, Scalar]] = (
    {word: True for word in ("true", "True", "TRUE")}
    | {word: False for word in ("false", "False", "FALSE")}
    | {word: None for word in ("", "~", "null", "Null", "NULL")}
    | {word: math.nan for word in (".nan", ".NaN", ".NAN")}
    | {sign + word: math.inf for word in (".inf", ".Inf", ".INF") for sign in ("", "+")}
    | {"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")}
)
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_BASES: Final = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_DIGITS_MAX: Final = 70
"""More digits than any 64-bit number has in any base: longer ones are never integers, and slow to parse."""
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TIMESTAMP: Final = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
    r"(?:(?P<gap>[Tt ])(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2}):(?P<second>[0-9]{1,2})(?:\.(?P<part>[0-9]{1,9}))?"
    r"(?P<zone>Z|[-+][0-9]{2}:[0-9]{2})?)?"
)


class UnreadableScalar(ValueError):
    """The scalar does not have the type that its tag claims; the text says so without repeating the scalar."""


def plain_scalar(text: str) -> Scalar:
    """Return what an unquoted, untagged scalar means.

    A timestamp becomes the text that Go prints for it (`2001-01-01 00:00:00 +0000 UTC`), since that is what
    docker puts in the place of one. Infinities and NaN are returned as such; JSON has no word for them.
    """
    if text in NAMED:
        return NAMED[text]
    first = text[0]
    if first not in "+-.0123456789":
        return text
    if first == ".":
        number = _float(text)
        return text if number is None else number
    if (instant := timestamp(text)) is not None:
        return instant
    return _number(text)


def tagged_scalar(text: str, tag: str) -> Scalar:
    """Return what a scalar with an explicit tag means; an unknown tag leaves the text as it is.

    Raises UnreadableScalar where a standard tag and the text disagree.
    """
    name = tag.removeprefix(STANDARD_TAG)
    if name == "binary":
        return _binary(text)
    if name not in ("null", "bool", "int", "float", "timestamp"):
        return text
    value = plain_scalar(text)
    if name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if scalar_kind(text, value) != name:
        raise UnreadableScalar(f"it is tagged !!{name} and is none")
    return value


def scalar_kind(text: str, value: Scalar) -> str:
    """Return YAML's name for the type of a plain scalar: null, bool, int, float, timestamp or str."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "timestamp" if value != text or timestamp(text) is not None else "str"
    return {bool: "bool", int: "int", float: "float"}[type(value)]


def timestamp(text: str) -> str | None:
    """Return how Go prints the instant that `text` writes, or None when it writes none."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None or (found["gap"] in ("T", "t")) != bool(found["zone"]):
        return None
    numbers = [int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
    written = found["zone"]
    try:
        zone = UTC if written in (None, "Z") else timezone(_offset(written))
        instant = datetime(*numbers[:3], *numbers[3:], tzinfo=zone)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    fraction = (found["part"] or "").rstrip("0")
    offset = instant.strftime("%z")
    name = "UTC" if offset == "+0000" else offset
    printed = f"{numbers[0]:04d}-" + instant.strftime("%m-%d %H:%M:%S")
    return f"{printed}{'.' + fraction if fraction else ''} {offset} {name}"


def _offset(zone: str) -> timedelta:
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)


def _number(text: str) -> Scalar:
    bare = text.replace("_", "")
    found = _INTEGER.fullmatch(bare) if len(bare) <= _DIGITS_MAX else None
    if found is not None:
        base_name = found.lastgroup or "dec"
        number = int(found[base_name], _BASES[base_name])
        number = -number if found["sign"] == "-" else number
        # An explicit plus sign is read by Go's signed parser only, which ends at 2**63 - 1.
        if -(2**63) <= number < (2**63 if found["sign"] == "+" else 2**64):
            return number
    number_or_none = _float(bare)
    return text if number_or_none is None else number_or_none


def _float(text: str) -> float | None:
    if not _FLOAT.fullmatch(text):
        return None
    number = float(text)
    return None if math.isinf(number) else number


def _binary(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise UnreadableScalar("it is tagged !!binary and is no base64 of UTF-8 text") from error


def go_text(value: Scalar) -> str:
    """Return how Go's `%v` prints a number or text: floats by their shortest digits; null is empty.

    The exponent form is used below 1e-4 and from 1e6 on, unlike Python's.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(str(digit) for digit in digits)
    power = len(text) - 1 + exponent
    minus = "-" if sign else ""
    if power < -4 or power >= 6:
        return f"{minus}{text[0]}{'.' + text[1:] if text[1:] else ''}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{minus}0.{'0' * (-power - 1)}{text}"
    whole = text[: power + 1].ljust(power + 1, "0")
    part = text[power + 1 :]
    return f"{minus}{whole}{'.' + part if part else ''}"
