"""Ranges of semantic versions, as tags have them. Pure.

Source: semver.org 2.0.0 for versions and their order; for ranges what npm and Flux's `ref.semver` agree on: comparators
joined by blanks or commas (and) and by `||` (or), `~1.2`, `^1.2`, `1.x`, `1.2.3 - 2.0.0`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from reconciler.model.errors import ErrorCode, SwarmctlError

_VERSION: Final = re.compile(
    r"v?(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_PARTIAL: Final = re.compile(
    r"v?(\d{1,15}|[xX*])(?:\.(\d{1,15}|[xX*]))?(?:\.(\d{1,15}|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
_COMPARATOR: Final = re.compile(r"(>=|<=|!=|>|<|=|~|\^)?\s*([^\s,|<>=~^!]+)")
_RANGE_CHARS_MAX: Final = 200

Release = tuple[int, int, int]


class Version(msgspec.Struct, frozen=True):
    """A version. `pre` is its pre-release identifiers, () for a release. Build metadata counts for nothing."""

    release: Release
    pre: tuple[str, ...] = ()

    def key(self) -> tuple[Release, bool, tuple[tuple[int, int, str], ...]]:
        """Return what versions are ordered by: a pre-release comes before its release, numbers before words."""
        parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.pre)
        return self.release, not self.pre, parts


class Bound(msgspec.Struct, frozen=True):
    """One comparison: `operator` is one of >=, <=, >, <, !=."""

    operator: str
    version: Version

    def admits(self, version: Version) -> bool:
        """Return whether the comparison holds."""
        ours, theirs = version.key(), self.version.key()
        return {
            ">=": ours >= theirs,
            "<=": ours <= theirs,
            ">": ours > theirs,
            "<": ours < theirs,
            "!=": ours != theirs,
        }[self.operator]


Alternative = tuple[Bound, ...]


def parse_version(tag: str) -> Version | None:
    """Return the version that a tag is, with or without a `v`; None for any other tag."""
    found = _VERSION.fullmatch(tag)
    if not found:
        return None
    major, minor, patch, pre = found.groups()
    return Version((int(major), int(minor), int(patch)), tuple(pre.split(".")) if pre else ())


def parse_range(text: str) -> tuple[Alternative, ...]:
    """Return the alternatives of a range, each a conjunction. Raises source-invalid."""
    if not text.strip() or len(text) > _RANGE_CHARS_MAX:
        raise _invalid(text)
    return tuple(_alternative(part, text) for part in text.split("||"))


def highest(text: str, tags: Iterable[str]) -> str:
    """Return the tag with the highest version in the range `text`, "" for none. Raises source-invalid.

    A pre-release counts only where the range names one of the same release, or where it says `-0`: nobody who asks for
    `>=1.0` means 2.0.0-beta. Of tags with one version (`v1.0.0` and `1.0.0`, other build metadata) it is the last by
    name.
    """
    alternatives = parse_range(text)
    known = [(version, tag) for tag in tags if (version := parse_version(tag)) is not None]
    fitting = [(version.key(), tag) for version, tag in known if any(_admits(one, version) for one in alternatives)]
    return max(fitting)[1] if fitting else ""


def _admits(bounds: Alternative, version: Version) -> bool:
    if not all(bound.admits(version) for bound in bounds):
        return False
    if not version.pre:
        return True
    return any(
        bound.version.pre and bound.operator != "<" and (bound.version.release == version.release or _any_pre(bound))
        for bound in bounds
    )


def _any_pre(bound: Bound) -> bool:
    return bound.version.pre == ("0",)


def _alternative(part: str, text: str) -> Alternative:
    if " - " in part:
        low, _, high = part.partition(" - ")
        return (*_comparator(">=", low.strip(), text), *_comparator("<=", high.strip(), text))
    rest = part.strip()
    bounds: list[Bound] = []
    while rest:
        found = _COMPARATOR.match(rest)
        if not found:
            raise _invalid(text)
        bounds += _comparator(found.group(1) or "", found.group(2), text)
        rest = rest[found.end() :].lstrip(" ,")
    if not part.strip():
        raise _invalid(text)
    return tuple(bounds)


def _comparator(operator: str, written: str, text: str) -> tuple[Bound, ...]:
    found = _PARTIAL.fullmatch(written)
    if not found:
        raise _invalid(text)
    numbers: list[int] = []
    for group in found.groups()[:3]:
        if group is None or group in "xX*":
            break
        numbers.append(int(group))
    pre = tuple(found.group(4).split(".")) if found.group(4) and len(numbers) == 3 else ()
    low = Version(_filled(numbers), pre)
    match operator:
        case "^":
            first = next((index for index, number in enumerate(numbers) if number), max(len(numbers) - 1, 0))
            return _between(low, numbers[: first + 1])
        case "~":
            return _between(low, numbers[:2])
        case "" | "=":
            exact = (Bound(">=", low), Bound("<=", low))
            return exact if len(numbers) == 3 else _between(low, numbers)
        case ">" | "<=" if 0 < len(numbers) < 3:
            # `>1.2` leaves all of 1.2 out, and `<=1.2` takes all of it in.
            after = _next(numbers)
            return (Bound(">=", Version(after.release)) if operator == ">" else Bound("<", after),)
        case _:
            return (Bound(operator, low),)


def _between(low: Version, numbers: list[int]) -> tuple[Bound, ...]:
    """Return the bounds of what is at least `low` and agrees with it in these first numbers; with none, of all."""
    return (Bound(">=", low), Bound("<", _next(numbers))) if numbers else (Bound(">=", low),)


def _next(numbers: list[int]) -> Version:
    """Return the first version after all that begin with these numbers; its own pre-releases are left out as well."""
    return Version(_filled([*numbers[:-1], numbers[-1] + 1]), ("0",))


def _filled(numbers: list[int]) -> Release:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def _invalid(text: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.SOURCE_INVALID,
        "The range of versions makes no sense.",
        why=f"It reads {text[:60]!r}.",
        hint="Write one such as `>=1.2 <2`, `~1.4`, `^2`, `1.x` or `1.0.0 - 1.9.9`.",
    )
