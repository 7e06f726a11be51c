"""Which join tokens are due for renewal. No token is ever seen here: only when each was last renewed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from reconciler.model import labels
from reconciler.model.desired import TokenPolicy
from reconciler.model.json import JsonObject
from reconciler.model.objects import NodeRole, ObservedObject
from reconciler.model.plan import ABSENT, Change


def rotation_label(role: NodeRole) -> str:
    """Return the label of the swarm that says when we last renewed the join token of `role`."""
    return f"{labels.TOKEN_ROTATED}.{role.value}"


def last_rotation(swarm: ObservedObject, role: NodeRole) -> datetime | None:
    """Return when the token of `role` was made, as aware UTC: at our last rotation, else when the swarm was.

    A rotation by hand (`docker swarm join-token --rotate`) leaves no trace, and makes no token older than we take it
    for. None when the swarm tells neither.
    """
    return _instant(swarm.labels.get(rotation_label(role))) or _instant(swarm.dig("CreatedAt"))


def due_roles(policy: TokenPolicy, swarm: ObservedObject, now: datetime) -> tuple[NodeRole, ...]:
    """Return the roles whose join token is older than `policy` allows at `now`."""
    due: list[NodeRole] = []
    for role, every_s in ((NodeRole.WORKER, policy.worker_every_s), (NodeRole.MANAGER, policy.manager_every_s)):
        made = last_rotation(swarm, role)
        if every_s is not None and made is not None and now - made > timedelta(seconds=every_s):
            due.append(role)
    return tuple(due)


def stamped(spec: JsonObject, roles: Collection[NodeRole], at: datetime) -> JsonObject:
    """Return a copy of the swarm's `spec` that says that the tokens of `roles` were renewed `at`; other labels stay."""
    if not roles:
        return spec
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**spec, "Labels": {**(spec.get("Labels") or {}), **{rotation_label(role): stamp for role in roles}}}


def rotations(policy: TokenPolicy, roles: Collection[NodeRole]) -> tuple[Change, ...]:
    """Return one change for each token that is made anew, with the line that asks for it; no token is known here."""
    places = {NodeRole.WORKER: policy.worker_place, NodeRole.MANAGER: policy.manager_place}
    return tuple(
        Change(f"JoinTokens.{role.value.capitalize()}", ABSENT, "rotated", sensitive=True, place=places[role])
        for role in roles
    )


def _instant(text: object) -> datetime | None:
    """Return the instant that RFC 3339 text means, None when it means none. The engine writes nanoseconds."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo is not None else None
