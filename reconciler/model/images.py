"""Image references, and what a registry says that they stand for now."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from reconciler.model.errors import Problem
from reconciler.model.json import JsonObject

HUB = "docker.io"


def registry_of(image: str) -> str:
    """Return the registry of a reference as service specs have it, by the rule of distribution/reference."""
    first, slash, _ = image.partition("/")
    is_host = slash and (set(first) & set(".:") or first == "localhost" or first != first.lower())
    return first if is_host else HUB


class ResolveMode(enum.StrEnum):
    """When an image's tag is looked up in its registry, as `docker stack deploy --resolve-image` has it."""

    ALWAYS = "always"
    CHANGED = "changed"
    NEVER = "never"


class ResolvedImage(msgspec.Struct, frozen=True):
    """What a registry answered: `digest` (sha256:…), and the platforms it has the image for, as the API has them."""

    digest: str
    platforms: tuple[JsonObject, ...] = ()


ImageAnswers = Mapping[str, ResolvedImage | Problem | None]
"""{image as the manifest writes it: the answer, or why there is none}. None: this backend runs no images."""
