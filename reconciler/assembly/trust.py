"""A swarm's root certificate in its store: made with the swarm, made anew when `docker swarm ca --rotate` asks for it.

It signs no certificates yet: this manager is alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from reconciler.adapters.swarm_ca import Root, join_token, make_root, tls_info
from reconciler.model.commands import Command, PutRecord, RotateJoinToken
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import NodeRole
from reconciler.model.tables import ClusterRecord, JoinTokens, Tables

NAMESPACE = "swarm"
ROOT_KEY = "root-ca"


@dataclass(frozen=True, slots=True)
class Trust:
    """A root, and the CAConfig.ForceRotate that it was made for."""

    root: Root
    rotation: int

    def tokens(self) -> JoinTokens:
        """Return new join tokens of this root."""
        return JoinTokens(worker=join_token(self.root.certificate), manager=join_token(self.root.certificate))

    def remembered(self, now: datetime) -> Command:
        """Return the command that puts it into the store."""
        value = {"certificate": self.root.certificate, "key": self.root.key, "rotation": self.rotation}
        return PutRecord(at=now, namespace=NAMESPACE, key=ROOT_KEY, value=json.dumps(value).encode())

    def tls_info(self) -> JsonObject:
        """Return it as a node's Description has it."""
        return tls_info(self.root.certificate)


def new_trust(now: datetime, rotation: int = 0) -> Trust:
    """Return a new root."""
    return Trust(make_root(now), rotation)


def stored(tables: Tables) -> Trust | None:
    """Return what the store holds, None before there was one."""
    record = tables.records.get(f"{NAMESPACE}/{ROOT_KEY}")
    if record is None:
        return None
    fields = json.loads(record.value)
    return Trust(Root(fields["certificate"], fields["key"]), int(fields["rotation"]))


def rotation_asked(cluster: ClusterRecord | None) -> int:
    """Return the rotation that the swarm's settings ask for."""
    asked = dig(cluster.spec, "CAConfig", "ForceRotate") if cluster else 0
    return asked if isinstance(asked, int) else 0


def rotated(now: datetime, rotation: int) -> tuple[Trust, tuple[Command, ...]]:
    """Return a new root, and the commands that put it in force: with it, both join tokens are new."""
    trust = new_trust(now, rotation)
    tokens = trust.tokens()
    return trust, (
        trust.remembered(now),
        RotateJoinToken(at=now, role=NodeRole.WORKER, token=tokens.worker),
        RotateJoinToken(at=now, role=NodeRole.MANAGER, token=tokens.manager),
    )
