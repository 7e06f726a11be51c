"""Requests side by side, but for ids and for the orders that are random in docker itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator

from reconciler.model.json import JsonObject, JsonValue, dig

LISTS_OF_ANY_ORDER = ("Secrets", "Configs")


def plain(requests: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """Return {path and name: body} with ids removed and lists of random order sorted."""
    found: dict[str, JsonObject] = {}
    for request in requests:
        body = copy.deepcopy(request["body"])
        if request["path"] == "/services/create":
            _plain_service(body)
        if request["path"].endswith("/create"):
            found[f"{request['path']} {body['Name']}"] = body
    return found


def _plain_service(body: JsonObject) -> None:
    spec = body["TaskTemplate"]["ContainerSpec"]
    for key in LISTS_OF_ANY_ORDER:
        for item in spec.get(key, ()):
            item.pop("SecretID", None)
            item.pop("ConfigID", None)
        if key in spec:
            spec[key].sort(key=lambda item: json.dumps(item, sort_keys=True))
    if dig(spec, "Privileges", "CredentialSpec", "Config"):
        spec["Privileges"]["CredentialSpec"]["Config"] = "ID"
    if ports := body["EndpointSpec"].get("Ports"):
        ports.sort(key=lambda port: (port.get("PublishedPort", 0), repr(sorted(port.items()))))


def differences(ours: JsonValue, theirs: JsonValue, path: str = "") -> Iterator[str]:
    """Yield a line for each spot at which two values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key, "<absent>"), theirs.get(key, "<absent>"), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif ours != theirs or isinstance(ours, bool) is not isinstance(theirs, bool):
        yield f"{path}: ours {ours!r}, docker's {theirs!r}"
