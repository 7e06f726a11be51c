"""What an engine tells of an image in its registry: GET /distribution/{name}/json."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.images import ResolvedImage
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.sensitive import masked_text

RATE_LIMITED = ("toomanyrequests", "too many requests", "429")
REFUSED = ("unauthorized", "denied", "authentication required", "no basic auth credentials", "forbidden")
UNKNOWN = ("manifest unknown", "not found", "name unknown", "does not exist")


def resolved(image: str, answer: JsonValue) -> ResolvedImage | None:
    """Return the digest and the platforms of an answer, the latter in the shape that a service's placement has.

    None stands for an engine that asks no registries.
    """
    if answer is None:
        return None
    digest = dig(answer, "Descriptor", "digest")
    if not digest:
        raise _unresolved(image, "The engine's answer names no digest.", "See whether the registry works.")
    return ResolvedImage(digest, tuple(_platform(known) for known in answer.get("Platforms") or []))


def _platform(known: JsonObject) -> JsonObject:
    return {"Architecture": known.get("architecture") or "", "OS": known.get("os") or ""}


def unresolved(image: str, error: SwarmctlError) -> SwarmctlError:
    """Return the error of a look-up that an engine refused, with what to do; of an engine that is gone it stays."""
    if error.code is ErrorCode.ENGINE_UNREACHABLE:
        return error
    why = masked_text(error.problems[0].why)  # registries send engines to signed addresses
    said = why.lower()
    if any(sign in said for sign in RATE_LIMITED):
        hint = "Wait until the registry allows more, or log in with `docker login`: that raises the limit."
    elif any(sign in said for sign in REFUSED):
        hint = "Log in to the registry with `docker login`, and see whether the repository's name is right."
    elif any(sign in said for sign in UNKNOWN):
        hint = "See whether the registry has this repository and tag."
    else:
        hint = "See whether the registry runs, and whether the engine reaches it."
    return _unresolved(image, why, hint)


def _unresolved(image: str, why: str, hint: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.IMAGE_UNRESOLVED, f"Image {image} could not be looked up in its registry.", why=why, hint=hint
    )
