"""The swarm's own settings and its join tokens: one object, so one Action."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from reconciler.model.objects import Kind
from reconciler.model.plan import Action, ActionType, Change, TaskEffect
from reconciler.planning.context import Context, Draft, action_id
from reconciler.planning.differ import changes_between
from reconciler.planning.topology.tokens import due_roles, rotations, stamped
from reconciler.planning.topology_record import laid_over

SWARM_NAME: Final = "default"
"""The only name that Swarm lets a cluster have."""

CONSEQUENCES: Final[dict[str, str | dict[bool, str]]] = {
    "EncryptionConfig.AutoLockManagers": {
        True: "managers stay locked after a restart until someone gives them the unlock key: "
        "keep what `docker swarm unlock-key` prints",
        False: "managers start without an unlock key again",
    },
    "CAConfig.NodeCertExpiry": "each node takes it at its next certificate",
    "Raft.ElectionTick": "each manager takes it when its engine restarts",
    "Raft.HeartbeatTick": "each manager takes it when its engine restarts",
    "Dispatcher.HeartbeatPeriod": "a node counts as down after three periods without a sign of it",
}
"""{path: what a change of the setting means beside tasks, or {new value: that}}."""


def plan_swarm(context: Context, draft: Draft) -> None:
    """Add what changes swarm-wide settings, and what renews join tokens that are older than swarm.yaml wants them.

    Only the settings that swarm.yaml gives are compared. Labels of the swarm stay as they are, but for the time of a
    rotation, which the next plan goes by.
    """
    live, desired = context.actual.swarm, context.desired
    merged = laid_over(live.spec, desired.settings)
    differing = [
        replace(change, place=desired.settings_places.get(change.path)) for change in changes_between(live.spec, merged)
    ]
    due = due_roles(desired.join_tokens, live, context.actual.observed_at)
    changes = (*differing, *rotations(desired.join_tokens, due))
    if not changes:
        return
    draft.actions.append(
        Action(
            id=action_id(Kind.SWARM, SWARM_NAME),
            type=ActionType.UPDATE,
            kind=Kind.SWARM,
            name=SWARM_NAME,
            stack=None,
            reason=" and ".join(_reasons(context, differing)),
            effect_text="; ".join((TaskEffect.NONE.value, *_consequences(changes))),
            changes=changes,
            object_id=live.id,
            version=live.version,
            spec=stamped(merged, due, context.actual.observed_at),
            read_spec=live.spec,
            place=next((change.place for change in changes if change.place is not None), None),
            rotates=due,
        )
    )


def _reasons(context: Context, differing: list[Change]) -> list[str]:
    due = due_roles(context.desired.join_tokens, context.actual.swarm, context.actual.observed_at)
    reasons = ["its settings differ"] if differing else []
    if due:
        tokens = "join tokens are" if len(due) > 1 else "join token is"
        reasons.append(f"the {' and '.join(due)} {tokens} older than swarm.yaml wants")
    return reasons


def _consequences(changes: tuple[Change, ...]) -> list[str]:
    told: dict[str, None] = {}
    for change in changes:
        known = CONSEQUENCES.get(change.path, "")
        text = known.get(bool(change.new), "") if isinstance(known, dict) else known
        if change.path.startswith("JoinTokens."):
            text = "nodes that are in the swarm stay; who joins needs the new token"
        if text:
            told[text] = None
    return list(told)
