"""A DesiredState as the create requests that `docker stack deploy` sends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.model.desired import DesiredObject, DesiredState
from reconciler.model.errors import Problem
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind
from reconciler.model.plan import SENSITIVE

UNSUPPORTED: Final = "Ignoring unsupported options: "
DEPRECATED: Final = "Ignoring deprecated options:\n\n"

_PATHS: Final = {
    Kind.NETWORK: "/networks/create",
    Kind.SECRET: "/secrets/create",
    Kind.CONFIG: "/configs/create",
    Kind.SERVICE: "/services/create",
}


def create_requests(desired: DesiredState, *, with_secrets: bool = False) -> list[JsonObject]:
    """Return [{"path": "/services/create", "body": {...}}]: networks, secrets, configs, services, in docker's order.

    Bodies are what the docker CLI sends to an engine of API 1.41, but that objects stand by name where it looks
    up ids. A secret's `Data` is left out (SENSITIVE) unless `with_secrets`.
    """
    return [
        {"path": path, "body": _body(wanted, with_secrets)}
        for kind, path in _PATHS.items()
        for wanted in desired.of_kind(kind)
    ]


def _body(wanted: DesiredObject, with_secrets: bool) -> JsonObject:
    if wanted.kind is Kind.NETWORK:
        return {**wanted.spec, "CheckDuplicate": True}
    if wanted.kind is Kind.SECRET and "Data" in wanted.spec and not with_secrets:
        return {**wanted.spec, "Data": SENSITIVE}
    return wanted.spec


def docker_warnings(warnings: Iterable[Problem]) -> list[str]:
    """Return the warnings in docker's own words and order: addresses and old forms, ignored keys, deprecated keys.

    What docker ignores without a word is not among them. Each text may have several lines.
    """
    texts = list(dict.fromkeys(warning.docker for warning in warnings if warning.docker))
    unsupported = sorted(text.removeprefix(UNSUPPORTED) for text in texts if text.startswith(UNSUPPORTED))
    deprecated = sorted(text.removeprefix(DEPRECATED) for text in texts if text.startswith(DEPRECATED))
    lines = [text for text in texts if not text.startswith((UNSUPPORTED, DEPRECATED))]
    if unsupported:
        lines.append(f"{UNSUPPORTED}{', '.join(unsupported)}\n")
    if deprecated:
        lines.append(DEPRECATED + "".join(f"{text}\n\n" for text in deprecated).removesuffix("\n"))
    return lines
