"""Whether a saved plan is still the plan: what has moved since it was made, by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.json import JsonObject, JsonValue
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Action, Origin, Plan
from reconciler.model.words import many
from reconciler.planning import render_json
from reconciler.planning.plan_file_fields import SavedObject, SavedPlan

PROOF_COST = 2**14
"""About 40 ms: the specs hold secrets, and a quick hash of them in a file would let weak ones be found by trying."""
PROOF_BYTES = 16

SELF_MOVING = frozenset({Kind.NODE, Kind.SWARM})
"""Kinds whose version a swarm counts up by itself, with heartbeats; what a user set is compared instead."""

MOVES_TOLD_MAX = 20
COMMIT_CHARACTERS = 12
HINT = "Look at the new plan: `swarmctl diff --out FILE`, then `swarmctl apply FILE`."

_SHOWN = ("action", "object_id", "force", "rotates")
_SHOWN_OF_CHANGE = ("path", "sensitive", "old", "new")


def saved_object(action: Action, actual: ActualState) -> SavedObject:
    """Return what must not have moved when the action is carried out later.

    That is what the cluster has, not what the action read: of several steps on one node, the later ones read what the
    earlier ones write.
    """
    found = _found(action.kind, action.object_id, actual)
    if found is None:
        return SavedObject(action.id, action.kind, action.name, action.object_id, action.version, None)
    if action.kind in SELF_MOVING:
        return SavedObject(action.id, action.kind, action.name, found.id, 0, _read_hash(found.spec))
    return SavedObject(action.id, action.kind, action.name, found.id, found.version, None)


def _found(kind: Kind, object_id: str | None, actual: ActualState) -> ObservedObject | None:
    return next((one for one in actual.of_kind(kind) if one.id == object_id), None)


def _read_hash(spec: JsonObject) -> str:
    """Return a hash of what a user set of a node or of the swarm, which holds no secret."""
    return "sha256:" + hashlib.sha256(_canonical(_lasting(spec))).hexdigest()


def proof_of(plan: Plan, salt: str) -> str:
    """Return a slow hash of everything that `plan` would write, secrets included: equal for equal plans only."""
    written = [
        [one.id, one.type.value, _lasting(one.spec or {}), one.force, [role.value for role in one.rotates]]
        for one in sorted(plan.actions, key=lambda action: action.id)
    ]
    digest = hashlib.scrypt(_canonical(written), salt=salt.encode(), n=PROOF_COST, r=8, p=1, dklen=PROOF_BYTES)
    return f"scrypt:{digest.hex()}"


def proof_salt(created_at: str, swarm_id: str) -> str:
    """Return what makes the proofs of two files differ, so that nobody can compare secrets by them."""
    return f"{created_at} {swarm_id}"


def _lasting(spec: JsonObject) -> JsonObject:
    """Return a spec without the labels by which we keep books: they tell of other objects, or of the time."""
    found = spec.get("Labels")
    if not isinstance(found, dict):
        return spec
    books = (labels.INVENTORY, labels.TOPOLOGY, labels.UNDO, labels.TOKEN_ROTATED, labels.APPLIED)
    return {**spec, "Labels": {key: value for key, value in found.items() if not key.startswith(books)}}


def _canonical(value: JsonValue) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def moved_beside(saved: SavedPlan, plan: Plan) -> frozenset[str]:
    """Return the actions of `plan`, made now, that only undo drift of objects which the saved plan does not touch.

    They may be left out, unless what the saved plan does has to come after them.
    """
    then = {action["id"] for action in saved.plan["actions"]}
    needed = {name for action in plan.actions if action.id in then for name in action.after}
    more = (one for one in plan.actions if one.id not in then and one.origin is Origin.DRIFT)
    return frozenset(one.id for one in more if one.id not in needed)


def check_fresh(saved: SavedPlan, plan: Plan, actual: ActualState) -> None:
    """Return when `plan`, made now against `actual` as the file says, is the saved one, to the last byte to be written.

    Raises SwarmctlError (stale-plan) with one problem for each thing that has moved: the swarm, the commit, objects,
    the manifests. A plan that differs for a reason that can't be seen is refused too.
    """
    moves = list(_moves(saved, plan, actual))
    if not moves:
        return
    if len(moves) > MOVES_TOLD_MAX:
        rest = many(len(moves) - MOVES_TOLD_MAX, "other thing")
        moves[MOVES_TOLD_MAX:] = [_stale(f"And {rest} moved.", "The plan was made before that.")]
    raise SwarmctlError.from_problems(tuple(moves))


def _moves(saved: SavedPlan, plan: Plan, actual: ActualState) -> Iterator[Problem]:
    if actual.swarm.id != saved.swarm_id:
        yield _stale(
            "This is another swarm.",
            f"The plan was made for swarm {saved.swarm_id} at {saved.endpoint}; "
            f"{actual.endpoint} is swarm {actual.swarm.id}.",
        )
        return
    if plan.commit != saved.commit:
        yield _commit_moved(saved, plan)
    moved = {one.id: (one, why) for one in saved.objects if (why := _object_moved(one, actual))}
    for name, why in {f"{one.kind}.{one.name}": why for one, why in moved.values()}.items():
        yield _stale(f"{name} has moved.", why)
    if plan.commit != saved.commit:
        return  # what else is different, is so because of that
    unseen = not moved
    for name, why in _differences(saved, plan):
        unseen = False
        if name not in moved:
            yield _stale(f"{name}: {why}.", "It goes with what has moved." if moved else _cause(saved))
    if unseen and proof_of(plan, proof_salt(saved.created_at, saved.swarm_id)) != saved.proof:
        what = "Something that plans don't show has changed: a secret's content, or a variable with a sensitive name."
        yield _stale(what, _cause(saved))


def _stale(what: str, why: str) -> Problem:
    return Problem(ErrorCode.STALE_PLAN, f"The saved plan is stale. {what}", why=why, hint=HINT)


def _commit_moved(saved: SavedPlan, plan: Plan) -> Problem:
    name = saved.source.revision or saved.source.path
    now, then = (_commit(one) for one in (plan.commit, saved.commit))
    return _stale(f"{name} is now {now}, the plan was made for {then}.", "Another commit may ask for something else.")


def _commit(commit: str | None) -> str:
    return commit[:COMMIT_CHARACTERS] if commit else "files that are no commit"


def _cause(saved: SavedPlan) -> str:
    if saved.commit is None:
        files = f"The files at {saved.source.path}, the environment variables that they use"
        return f"{files}, or what the swarm has besides, are not what they were."
    return "The commit is the same; environment variables, or what the swarm has besides, are not what they were."


def _object_moved(one: SavedObject, actual: ActualState) -> str | None:
    """Return what became of an object since the plan was made, None for nothing."""
    if one.object_id is None:
        created = one.name in actual.by_name(one.kind)
        return "It was created meanwhile; the plan wanted to create it." if created else None
    found = _found(one.kind, one.object_id, actual)
    if found is None:
        return "It was removed meanwhile."
    if one.read is not None:
        return None if _read_hash(found.spec) == one.read else "It was changed meanwhile."
    return _version_moved(one, found)


def _version_moved(one: SavedObject, found: ObservedObject) -> str | None:
    if found.version == one.version:
        return None
    return f"It was changed meanwhile: it is at version {found.version}, the plan read version {one.version}."


def _differences(saved: SavedPlan, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield each action that is not in both plans, or not the same as far as plans show it, with what is different."""
    rendered: JsonObject = json.loads(json.dumps(render_json.render(plan)))
    now = {action["id"]: action for action in rendered["actions"]}
    then = {action["id"]: action for action in saved.plan["actions"]}
    for name in sorted(then.keys() | now.keys()):
        if name not in now:
            yield name, "there is nothing to do any more"
        elif name not in then:
            yield name, "a new plan changes it as well"
        elif _as_shown(now[name]) != _as_shown(then[name]):
            yield name, "a new plan changes it in another way"


def _as_shown(action: JsonObject) -> JsonValue:
    """Return what must be the same of an action. The effect may differ: how many tasks run is nobody's change."""
    changes = [{key: change[key] for key in _SHOWN_OF_CHANGE if key in change} for change in action["changes"]]
    return [*(action.get(key) for key in _SHOWN), changes]
