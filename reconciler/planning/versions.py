"""The versions of secrets and configs that a cluster has, and which of them something refers to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import Kind, ObservedObject

References = frozenset[tuple[Kind, str]]
"""(kind, id or name) of what services refer to: networks may stand by either."""


class Versions(msgspec.Struct, frozen=True):
    """`by_name` is {(kind, name in the stack file): its versions, the newest first}."""

    by_name: dict[tuple[Kind, str], list[ObservedObject]]
    used: References

    def of(self, kind: Kind, name: str) -> list[ObservedObject]:
        """Return the versions of one secret or config; none when the cluster has nothing of that name."""
        return self.by_name.get((kind, name), [])

    def is_used(self, found: ObservedObject) -> bool:
        """Return whether a live service's tasks get this version now."""
        return (found.kind, found.id) in self.used


def versions_of(actual: ActualState) -> Versions:
    """Return all secrets and configs of a cluster by the name that a stack file gives them."""
    by_name: dict[tuple[Kind, str], list[ObservedObject]] = {}
    for found in sorted((*actual.secrets, *actual.configs), key=age_key, reverse=True):
        by_name.setdefault((found.kind, logical_name(found)), []).append(found)
    used = frozenset(reference for service in actual.services for reference in referenced_ids(service.spec))
    return Versions(by_name, used)


def logical_name(found: ObservedObject) -> str:
    """Return the name that a stack file gives a secret or config, whatever its version is called."""
    return found.labels.get(labels.LOGICAL_NAME, found.name)


def age_key(found: ObservedObject) -> tuple[str, str, bool, str]:
    """Return what sorts objects by when they were created; of those of one moment the plainly named is the oldest.

    `CreatedAt` is RFC 3339 in UTC with as many digits of a second as it needs: cut apart, or "5Z" would be later
    than "51Z".
    """
    seconds, _, fraction = str(found.raw.get("CreatedAt") or "").removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0"), labels.LOGICAL_NAME in found.labels, found.name


def referenced_ids(spec: JsonObject) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, id) of each network, secret and config that a stored service spec refers to."""
    for network in dig(spec, "TaskTemplate", "Networks") or []:
        yield Kind.NETWORK, network.get("Target", "")
    container = dig(spec, "TaskTemplate", "ContainerSpec") or {}
    for secret in container.get("Secrets") or []:
        yield Kind.SECRET, secret.get("SecretID", "")
    for config in container.get("Configs") or []:
        yield Kind.CONFIG, config.get("ConfigID", "")
    if credential := dig(container, "Privileges", "CredentialSpec", "Config"):
        yield Kind.CONFIG, credential
