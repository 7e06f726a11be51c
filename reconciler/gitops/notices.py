"""Alerts of what happens once and is no incident: another leader, a new join token. Pure."""

from __future__ import annotations

from datetime import datetime

from reconciler.model.alerts import Alert, AlertKind, AlertPhase


def leader_changed(leader: str, before: str, epoch: int, now: datetime) -> Alert | None:
    """Return what to tell when `leader` has begun to lead in `epoch`; None for the first one, and for the same again.

    The new leader tells it, when it leads: the old one may be dead. A member that lost its lead and won it back at
    once is no news to anybody.
    """
    if not before or before == leader:
        return None
    return Alert(
        key=f"leader/{epoch}",
        kind=AlertKind.LEADER,
        phase=AlertPhase.NOTICE,
        subject=leader,
        message=f"Controller {leader} leads now, in the place of {before}.",
        at=now,
        since=now,
        next_step="An apply that was under way goes on from where it is.",
        commands=("swarmctl status",),
    )


def token_rotated(role: str, why: str, now: datetime, by: str = "") -> Alert:
    """Return what to tell when the join token of `role` ("worker", "manager") was rotated. No token is in it.

    `why` is a sentence, such as "It was 30 days old.", and `by` who asked for it, "" for the policy.
    """
    asked = f" {by} asked for it." if by else ""
    return Alert(
        key=f"token/{role}/{now.isoformat()}",
        kind=AlertKind.TOKEN,
        phase=AlertPhase.NOTICE,
        subject=role,
        message=f"The {role} join token was rotated.{asked} {why}".strip(),
        at=now,
        since=now,
        next_step="The old token lets nobody in from now on. Nodes that have joined are not touched.",
        commands=(f"swarmctl token issue --role {role} --for HOSTNAME",),
    )
