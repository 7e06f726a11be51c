"""Which names Swarm takes for services and networks, and what labels may be."""

from __future__ import annotations

import re

from reconciler.model.json import JsonObject
from reconciler.store.refusal import invalid

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
NAME_LENGTH_MAX = 63

_PART = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    f"(?P<name>{_PART}(?:/{_PART})*)(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    "(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(f"(?:{_LABEL}(?:[.]{_LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?")
_IMAGE_ID = re.compile("[0-9a-f]{64}")
IMAGE_NAME_LENGTH_MAX = 255


def is_image_reference(text: str) -> bool:
    """Return whether `text` names an image: host, repository, tag and digest, all but the repository optional.

    What stands before the first slash is a host where it could be no repository, or has a dot or a colon.
    Source: github.com/distribution/reference, ParseNormalizedNamed.
    """
    host, slash, rest = text.partition("/")
    is_host = slash and (set(host) & set(".:") or host == "localhost" or host.lower() != host)
    if is_host and not _HOST.fullmatch(host):
        return False
    found = _REFERENCE.fullmatch(rest if is_host else text)
    if found is None or _IMAGE_ID.fullmatch(text):
        return False
    return len(found["name"]) + (len(host) + 1 if is_host else 0) <= IMAGE_NAME_LENGTH_MAX


def is_dns_name(name: str) -> bool:
    """Return whether `name` can be a DNS name component, as Swarm has it (underscores allowed inside)."""
    return bool(_DNS_NAME.fullmatch(name))


def checked_labels(spec: JsonObject) -> dict[str, str]:
    """Return a spec's labels. Whoever looks at an object reads them: nothing else may be in their place."""
    labels = spec.get("Labels")
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise invalid("invalid JSON: Labels is no object", rpc="")
    if not all(isinstance(value, str) for value in labels.values()):
        raise invalid("invalid JSON: a label is no text", rpc="")
    return labels
