"""A swarm's root certificate in its store: made with the swarm, and made anew or replaced by `docker swarm ca`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import msgspec

from reconciler.adapters.swarm_ca import EXPIRY_DEFAULT, Root, given_root, join_token, make_root, tls_info
from reconciler.model.commands import Command, PutRecord, RotateJoinToken
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import NodeRole
from reconciler.model.tables import ClusterRecord, JoinTokens, Tables

PEM_BEGINS = "-----BEGIN "

NAMESPACE = "swarm"
ROOT_KEY = "root-ca"


class Trust(msgspec.Struct, frozen=True):
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
        """Return it as the Description of a node has it whose certificate it has signed."""
        return tls_info(self.root.certificate)


def new_trust(now: datetime, rotation: int = 0) -> Trust:
    """Return a new root."""
    return Trust(make_root(now), rotation)


def first_trust(spec: JsonObject, now: datetime) -> Trust:
    """Return the root that a new swarm's settings ask for. Raises SwarmctlError as `wanted`."""
    return _given(spec, now) or new_trust(now, _rotation(spec))


def wanted(current: Trust, spec: JsonObject, now: datetime) -> Trust | None:
    """Return the root that new settings ask for, None for the one there is.

    Raises SwarmctlError (request-refused, embedded-failed) with a manager's text.
    """
    asked = _given(spec, now) or (new_trust(now, _rotation(spec)) if _rotation(spec) != current.rotation else None)
    return None if asked == current else asked


def put_in_force(current: Trust, renewed: Trust, now: datetime) -> tuple[Command, ...]:
    """Return the commands for a root in the place of another. Join tokens are new if the certificate is."""
    if renewed.root.certificate == current.root.certificate:
        return (renewed.remembered(now),)
    tokens = renewed.tokens()
    return (
        renewed.remembered(now),
        RotateJoinToken(at=now, role=NodeRole.WORKER, token=tokens.worker),
        RotateJoinToken(at=now, role=NodeRole.MANAGER, token=tokens.manager),
    )


def _given(spec: JsonObject, now: datetime) -> Trust | None:
    certificate, key = dig(spec, "CAConfig", "SigningCACert"), dig(spec, "CAConfig", "SigningCAKey")
    if PEM_BEGINS not in _text(certificate):
        certificate = ""  # a manager takes the blocks of PEM out of it, and has none
    if not key and not certificate:
        return None
    return Trust(given_root(_text(certificate), _text(key), now), _rotation(spec))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _rotation(spec: JsonObject) -> int:
    asked = dig(spec, "CAConfig", "ForceRotate")
    return asked if isinstance(asked, int) else 0


def stored(tables: Tables) -> Trust | None:
    """Return what the store holds, None before there was one."""
    record = tables.records.get(f"{NAMESPACE}/{ROOT_KEY}")
    if record is None:
        return None
    fields = json.loads(record.value)
    return Trust(Root(fields["certificate"], fields["key"]), int(fields["rotation"]))


def certificates_valid(cluster: ClusterRecord | None) -> timedelta:
    """Return how long the certificates of nodes are valid that are given now."""
    asked = dig(cluster.spec, "CAConfig", "NodeCertExpiry") if cluster else 0
    return timedelta(microseconds=asked // 1000) if isinstance(asked, int) and asked > 0 else EXPIRY_DEFAULT
