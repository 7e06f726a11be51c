"""What a change moves of swarm.yaml's rules, such as `policy.prune`, which no object shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.model.desired import DesiredState, TokenPolicy
from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.policies import StackPolicy, Window, WindowKind
from reconciler.planning.context import Context, Draft
from reconciler.planning.render_values import duration

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DAY_S = 24 * 3600

STACK_RULES = ("rollback", "dependsOn", "drift", "windows")

Rule = str | tuple[str, ...]
"""One value, or a list of them, as swarm.yaml would say it; "" and () for what it leaves out."""


def note_moved_rules(context: Context, draft: Draft) -> None:
    """Note each rule that is another one than in the revision to compare with; without such a revision, none.

    A stack that only one of the two declares moves no rule: its objects show. A plan for some stacks is about theirs
    alone.
    """
    base, desired = context.options.baseline, context.desired
    if base is None:
        return
    before, after = _of_stacks(base), _of_stacks(desired)
    if context.options.stacks is None:
        before, after = _of_cluster(base) | before, _of_cluster(desired) | after
    places = _places(desired)
    for name, rule in after.items():
        if before.get(name, rule) != rule:
            draft.notes.append(_note(name, before[name], rule, places.get(name)))


def _places(desired: DesiredState) -> Mapping[str, Place | None]:
    tokens = desired.join_tokens
    return {
        **{f"policy.{key}": place for key, place in desired.policy_places.items()},
        **{f"stacks.{stack.name}.{rule}": stack.place for stack in desired.stacks for rule in STACK_RULES},
        "joinTokens.worker.rotateEvery": tokens.worker_place,
        "joinTokens.manager.rotateEvery": tokens.manager_place,
    }


def _of_cluster(state: DesiredState) -> dict[str, Rule]:
    policy, policies = state.policy, state.policies
    return {
        "policy.drift": policy.drift.value,
        "policy.prune": str(policy.prune).lower(),
        "policy.maxDeletePercent": str(policy.max_delete_percent),
        "policy.keepVersions": str(policy.keep_versions),
        "policy.windows": _windows(policies.windows),
        "policy.objects": tuple(f"{pattern}: {mode.value}" for pattern, mode in policies.objects),
        "policy.ignoreDifferences": tuple(sorted(f"{rule.path} of {rule.objects}" for rule in policies.ignore)),
        **_of_tokens(state.join_tokens),
    }


def _of_tokens(tokens: TokenPolicy) -> Mapping[str, Rule]:
    every = {"worker": tokens.worker_every_s, "manager": tokens.manager_every_s}
    return {f"joinTokens.{role}.rotateEvery": _period(every_s) if every_s else "" for role, every_s in every.items()}


def _of_stacks(state: DesiredState) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for stack in state.stacks:
        own = state.policies.stacks.get(stack.name, StackPolicy())
        rules |= {
            f"stacks.{stack.name}.rollback": "stack" if stack.atomic else "none",
            f"stacks.{stack.name}.dependsOn": tuple(sorted(stack.depends_on)),
            f"stacks.{stack.name}.drift": own.drift.value if own.drift is not None else "",
            f"stacks.{stack.name}.windows": _windows(own.windows),
        }
    return rules


def _windows(windows: Sequence[Window]) -> tuple[str, ...]:
    return tuple(sorted(map(_window, windows)))


def _window(window: Window) -> str:
    days = "" if len(window.days) == len(DAYS) else ",".join(DAYS[day] for day in sorted(window.days)) + " "
    kind = "allow" if window.kind is WindowKind.ALLOW else "deny"
    return f"{kind} {days}{window.start:%H:%M} for {_period(window.duration_s)} ({window.zone})"


def _period(seconds: float) -> str:
    days, rest = divmod(seconds, DAY_S)
    return f"{days:.0f}d" if days and not rest else duration(round(seconds * 10**6) * 1000)


def _note(name: str, before: Rule, after: Rule, place: Place | None) -> Problem:
    what = f"The rule `{name}` changes: {'; '.join(_moves(before, after))}."
    return Problem(ErrorCode.RULE_CHANGED, what, place=place, severity=Severity.WARNING)


def _moves(before: Rule, after: Rule) -> Iterator[str]:
    if isinstance(before, str) or isinstance(after, str):
        yield f"{before or 'not given'} -> {after or 'not given'}"
        return
    gone, come = [one for one in before if one not in after], [one for one in after if one not in before]
    if come:
        yield f"adds {', '.join(come)}"
    if gone:
        yield f"drops {', '.join(gone)}"
    if not come and not gone:
        yield "another order, of which the first that fits counts"
