"""`x-swarmctl`: what the Engine API knows and compose has no word for. Docker ignores keys that start with x-.

`{spec: {...}}` in a service or a network is a part of its create request, in the Engine API's field names, merged
over what the compose keys stand for: objects merge, null removes, everything else replaces. `{prune: false}` in a
service, network, secret or config keeps the object when nothing declares it any more. At the top of a file,
`{stack: false}` says that what it declares belongs to no stack, and `{rollback: stack}` that all its services go back
to what they were when one of them fails.

Source: docs/decisions/0008-extension-blocks.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.manifests.compose.source import EXTENSION, StackSource
from reconciler.manifests.problems import KeyPath, key_path_text
from reconciler.model import labels
from reconciler.model.json import JsonObject, JsonValue, dig
from reconciler.model.objects import Kind

_REFERENCES: Final = (
    (Kind.NETWORK, ("TaskTemplate", "Networks"), "Target"),
    (Kind.SECRET, ("TaskTemplate", "ContainerSpec", "Secrets"), "SecretName"),
    (Kind.CONFIG, ("TaskTemplate", "ContainerSpec", "Configs"), "ConfigName"),
)


def is_pruned(definition: JsonObject) -> bool:
    """Return whether the object may be removed once nothing declares it."""
    return dig(definition, EXTENSION, "prune") is not False


def extended(source: StackSource, at: KeyPath, definition: JsonObject, body: JsonObject) -> JsonObject:
    """Return a create request with the `spec` of the definition's extension merged over it."""
    patch = dig(definition, EXTENSION, "spec")
    if not patch:
        return body
    result: JsonObject = patched(body, patch)
    stack = dig(body, "Labels", labels.STACK_NAMESPACE)
    if not source.standalone and dig(result, "Labels", labels.STACK_NAMESPACE) != stack:
        spot = (*at, EXTENSION, "spec", "Labels", labels.STACK_NAMESPACE)
        what = f"`{key_path_text(spot)}` takes the object out of its stack."
        hint = "Move it to the other stack's file, or to one with `x-swarmctl: {stack: false}` at its top."
        source.invalid(spot, what, "The label says which stack an object belongs to.", hint)
    return result


def patched(value: JsonValue, patch: JsonValue) -> JsonValue:
    """Return `value` with `patch` merged over it, by the rules of RFC 7386; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), item)
    return result


def composed(base: JsonValue, over: JsonValue) -> JsonValue:
    """Return the one patch that does what `base` and then `over` do: nulls stay, for what they remove later."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: composed(base[key], item) if key in base else item for key, item in over.items()}


def named_references(definition: JsonObject) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, full name) of what the extension of a service refers to."""
    for kind, path, name_key in _REFERENCES:
        for item in dig(definition, EXTENSION, "spec", *path) or ():
            if name := item.get(name_key):
                yield kind, name
