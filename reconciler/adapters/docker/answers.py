"""Objects as an engine answers them. Pure."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject

CONFIDENTIAL = frozenset({"JoinTokens", "UnlockKey", "SigningCAKey"})


def observed(kind: Kind, raw: JsonObject) -> ObservedObject:
    """Return the object that an answer describes, without anything that nobody may see printed."""
    if not isinstance(raw, dict) or ("Id" if kind is Kind.NETWORK else "ID") not in raw:
        raise no_engine(kind.value)
    version = dig(raw, "Version", "Index") or 0
    if kind is Kind.NETWORK:
        return ObservedObject(kind, raw["Id"], raw["Name"], 0, spec=raw, raw=raw)
    spec: JsonObject = raw.get("Spec") or {}
    if kind is Kind.SWARM:
        raw = {key: value for key, value in raw.items() if key not in CONFIDENTIAL}
    name = dig(raw, "Description", "Hostname") if kind is Kind.NODE else spec.get("Name")
    return ObservedObject(kind, raw["ID"], name or "", version, spec=spec, raw=raw)


def broken_off() -> SwarmctlError:
    """Return what to say of an answer of which nothing came but its head."""
    return SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE,
        "The engine's answer broke off.",
        why="Its head said that all is well, and nothing came after it.",
        hint="See whether the engine is restarting, then run the command again.",
        passing=True,
    )


def no_engine(missing: str) -> SwarmctlError:
    """Return what to say of an address at which something else than an engine answers in JSON."""
    return SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE,
        "What answers is no Docker Engine.",
        why=f"Where an engine sends a {missing}, it sends something else.",
        hint="See whether the address is right.",
        passing=True,  # what was an engine a moment ago may be one again in a moment
    )
