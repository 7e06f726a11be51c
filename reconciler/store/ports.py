"""Published ports: conflicts between services, and numbers for those that ask for any."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.json import JsonObject
from reconciler.model.tables import ServiceRecord
from reconciler.store.draft import Draft
from reconciler.store.refusal import invalid

DYNAMIC_FIRST = 30_000
DYNAMIC_LAST = 32_767


def allot_ports(
    draft: Draft, service_id: str, spec: JsonObject, held: tuple[JsonObject, ...]
) -> tuple[JsonObject, ...]:
    """Return the ports of a completed spec with a published port for each that is reached through ingress.

    `held` are the ports that the service has now: a dynamic number stays with its (name, protocol, target).
    Raises Refusal when a port belongs to another service.
    """
    others = {key: service for service in draft.services.values() if service.id != service_id for key in _held(service)}
    allotted: list[JsonObject] = []
    for port in (spec.get("EndpointSpec") or {}).get("Ports") or ():
        published = port.get("PublishedPort") or 0
        if published:
            _check_free(others, port, published)
        elif port["PublishMode"] == "ingress":
            mine = [(one["Protocol"], one["PublishedPort"]) for one in allotted]
            published = _sticky(port, held) or _next_dynamic(port["Protocol"], [*others, *mine])
        allotted.append({**port, "PublishedPort": published})
    return tuple(allotted)


def _next_dynamic(protocol: str, taken: list[tuple[str, int]]) -> int:
    numbers = frozenset(number for other, number in taken if other == protocol)
    for number in range(DYNAMIC_FIRST, DYNAMIC_LAST + 1):
        if number not in numbers:
            return number
    text = f"no {protocol} port is left between {DYNAMIC_FIRST} and {DYNAMIC_LAST}"
    raise invalid(text, rpc="FailedPrecondition")


def _held(service: ServiceRecord) -> Iterator[tuple[str, int]]:
    for port in service.ports:
        if port.get("PublishedPort"):
            yield port["Protocol"], port["PublishedPort"]


def _check_free(others: dict[tuple[str, int], ServiceRecord], port: JsonObject, published: int) -> None:
    owner = others.get((port["Protocol"], published))
    if owner is None:
        return
    modes = [one["PublishMode"] for one in owner.ports if one.get("PublishedPort") == published]
    if "ingress" in modes:
        how = "an ingress port"
    elif port["PublishMode"] == "ingress":
        how = "a host-published port"
    else:
        return  # two services may publish one port on different hosts: the scheduler keeps them apart
    raise invalid(f"port '{published}' is already in use by service '{owner.name}' ({owner.id}) as {how}")


def _sticky(port: JsonObject, held: tuple[JsonObject, ...]) -> int:
    def identity(one: JsonObject) -> tuple[str, str, int]:
        return one.get("Name", ""), one["Protocol"], one["TargetPort"]

    return next((one.get("PublishedPort") or 0 for one in held if identity(one) == identity(port)), 0)
