"""What a cluster is, observed at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask


class ActualState(msgspec.Struct, frozen=True):
    """Every swarm object, with the version index that a write must compare.

    `endpoint` is what people call the cluster: a socket, an address or a context. `observed_at` is aware UTC,
    by the cluster's clock: what is told of objects and tasks can be compared with it.
    `predefined_networks` maps names such as "host" and "bridge" to their swarm-scoped ids: `GET /networks` leaves them
    out, yet services refer to them. Where no service uses one, its name may stand for the id. `local_node_id` is the
    manager that answered, "" where that is not known.
    """

    endpoint: str
    observed_at: datetime
    swarm: ObservedObject
    nodes: tuple[ObservedObject, ...] = ()
    networks: tuple[ObservedObject, ...] = ()
    secrets: tuple[ObservedObject, ...] = ()
    configs: tuple[ObservedObject, ...] = ()
    services: tuple[ObservedObject, ...] = ()
    tasks: tuple[ObservedTask, ...] = ()
    predefined_networks: tuple[tuple[str, str], ...] = ()
    local_node_id: str = ""

    def of_kind(self, kind: Kind) -> tuple[ObservedObject, ...]:
        """Return the objects of one kind, in the order observed."""
        by_kind = {
            Kind.SWARM: (self.swarm,),
            Kind.NODE: self.nodes,
            Kind.NETWORK: self.networks,
            Kind.SECRET: self.secrets,
            Kind.CONFIG: self.configs,
            Kind.SERVICE: self.services,
        }
        return by_kind[kind]

    def by_name(self, kind: Kind) -> dict[str, ObservedObject]:
        """Return {name: object} of one kind; of two with one name the first observed stays."""
        named: dict[str, ObservedObject] = {}
        for found in self.of_kind(kind):
            named.setdefault(found.name, found)
        return named

    def tasks_of(self, service_id: str) -> Iterator[ObservedTask]:
        """Yield the tasks of one service, history included."""
        return (task for task in self.tasks if task.service_id == service_id)
