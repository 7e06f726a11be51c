"""What kinds of object a cluster has, and how one of them is observed."""

from __future__ import annotations

import enum

from reconciler.model import labels
from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject, JsonValue, dig


class Kind(enum.StrEnum):
    """The kinds of object that a repository declares. The order is that of creation."""

    SWARM = "swarm"
    NODE = "node"
    NETWORK = "network"
    SECRET = "secret"
    CONFIG = "config"
    SERVICE = "service"


class NodeRole(enum.StrEnum):
    WORKER = "worker"
    MANAGER = "manager"


class ObservedObject(Discreet, frozen=True):
    """One network, secret, config, service, node or the swarm itself, as the cluster has it.

    `spec` is what a user asked for, in the Engine API's shape: `Spec` of the answer, or for a network the
    answer's own top-level fields. `raw` is the whole answer. Secrets come without `Data`; networks are
    unversioned (0).
    """

    UNSHOWN = frozenset({"spec", "raw"})

    kind: Kind
    id: str
    name: str
    version: int
    spec: JsonObject
    raw: JsonObject

    @property
    def labels(self) -> dict[str, str]:
        return self.spec.get("Labels") or {}

    @property
    def stack(self) -> str | None:
        """The stack that the object belongs to, or None."""
        return self.labels.get(labels.STACK_NAMESPACE)

    @property
    def owner(self) -> str | None:
        """The cluster name of the repository that wrote the object, or None when none of ours did."""
        return self.labels.get(labels.OWNER)

    def dig(self, *keys: str) -> JsonValue:
        """Return the value at a path of `raw`, or None."""
        return dig(self.raw, *keys)
