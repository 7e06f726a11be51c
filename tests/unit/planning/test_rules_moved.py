"""Rules of swarm.yaml that a change moves, and that no object of the swarm shows."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

import msgspec
import pytest

from reconciler.model.desired import DesiredState, Policy, Stack, TokenPolicy
from reconciler.model.errors import ErrorCode, Place
from reconciler.model.policies import DriftMode, IgnoreRule, Policies, StackPolicy, Window, WindowKind
from reconciler.planning.baseline import imagined
from reconciler.planning.options import PlanOptions
from reconciler.planning.plan import plan
from reconciler.planning.render_markdown import render
from tests.unit.planning.builders import HERE, NOW, desired

NIGHT = Window(WindowKind.DENY, time(18), 12 * 3600, frozenset({4, 5}), ZoneInfo("Europe/Berlin"))
ALWAYS = Window(WindowKind.ALLOW, time(0, 30), 90 * 60)
REPLICAS = IgnoreRule("service.web_*", "Mode.Replicated.Replicas")
WEB, DB = Stack("web", "w", (), HERE), Stack("db", "d", (), HERE)


def moved(base: DesiredState, head: DesiredState, *stacks: str) -> list[str]:
    options = PlanOptions(baseline=base, stacks=frozenset(stacks) or None)
    made = plan(head, imagined(base, NOW), options)
    assert made.is_empty
    return [note.what for note in made.notes if note.code is ErrorCode.RULE_CHANGED]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (desired(policy=Policy()), desired(policy=Policy(prune=True)), "`policy.prune` changes: false -> true."),
        (
            desired(policy=Policy(max_delete_percent=50)),
            desired(policy=Policy(max_delete_percent=100)),
            "`policy.maxDeletePercent` changes: 50 -> 100.",
        ),
        (
            desired(policy=Policy(drift=DriftMode.HEAL)),
            desired(policy=Policy(drift=DriftMode.IGNORE)),
            "`policy.drift` changes: heal -> ignore.",
        ),
        (
            desired(policies=Policies(windows=(ALWAYS,))),
            desired(policies=Policies(windows=(NIGHT, ALWAYS))),
            "`policy.windows` changes: adds deny fri,sat 18:00 for 12h (Europe/Berlin).",
        ),
        (
            desired(policies=Policies(windows=(ALWAYS,))),
            desired(),
            "`policy.windows` changes: drops allow 00:30 for 1h30m (UTC).",
        ),
        (
            desired(policies=Policies(ignore=(REPLICAS,))),
            desired(policies=Policies(ignore=(IgnoreRule("*", "Labels"),))),
            "`policy.ignoreDifferences` changes: adds Labels of *; drops Mode.Replicated.Replicas of service.web_*.",
        ),
        (
            desired(policies=Policies(objects=(("a", DriftMode.HEAL), ("*", DriftMode.IGNORE)))),
            desired(policies=Policies(objects=(("*", DriftMode.IGNORE), ("a", DriftMode.HEAL)))),
            "`policy.objects` changes: another order, of which the first that fits counts.",
        ),
        (
            desired(join_tokens=TokenPolicy(worker_every_s=30 * 86400.0)),
            desired(join_tokens=TokenPolicy(worker_every_s=36 * 3600.0)),
            "`joinTokens.worker.rotateEvery` changes: 30d -> 36h.",
        ),
        (
            desired(join_tokens=TokenPolicy(manager_every_s=7 * 86400.0)),
            desired(),
            "`joinTokens.manager.rotateEvery` changes: 7d -> not given.",
        ),
        (
            desired(stacks=(WEB,)),
            desired(stacks=(msgspec.structs.replace(WEB, atomic=True),)),
            "`stacks.web.rollback` changes: none -> stack.",
        ),
        (
            desired(stacks=(WEB, DB)),
            desired(stacks=(msgspec.structs.replace(WEB, depends_on=("db",)), DB)),
            "`stacks.web.dependsOn` changes: adds db.",
        ),
        (
            desired(policies=Policies(stacks={"web": StackPolicy(DriftMode.REPORT)})),
            desired(policies=Policies(stacks={"web": StackPolicy(windows=(ALWAYS,))})),
            "`stacks.web.drift` changes: report -> not given.",
        ),
    ],
)
def test_each_rule_that_moves_is_told(before, after, told):
    assert f"The rule {told}" in moved(before, after)
    assert moved(after, after) == []


def test_what_only_comes_in_another_order_moves_no_rule():
    one, other = IgnoreRule("a", "Labels"), REPLICAS
    before = desired(policies=Policies(windows=(NIGHT, ALWAYS), ignore=(one, other)))
    assert moved(before, desired(policies=Policies(windows=(ALWAYS, NIGHT), ignore=(other, one)))) == []


def test_a_stack_that_comes_or_goes_moves_no_rule():
    atomic = msgspec.structs.replace(DB, atomic=True)
    assert moved(desired(stacks=(WEB,)), desired(stacks=(WEB, atomic))) == []
    assert moved(desired(stacks=(WEB, atomic)), desired(stacks=(WEB,))) == []


def test_a_plan_for_one_stack_tells_its_rules_alone():
    before = desired(stacks=(WEB, DB), policy=Policy())
    after = desired(stacks=tuple(msgspec.structs.replace(one, atomic=True) for one in (WEB, DB)))
    assert moved(before, after, "db") == ["The rule `stacks.db.rollback` changes: none -> stack."]


def test_without_a_base_no_rule_moves():
    made = plan(desired(), imagined(desired(policy=Policy()), NOW))
    assert [note for note in made.notes if note.code is ErrorCode.RULE_CHANGED] == []


def test_a_comment_shows_rules_that_move_before_all_that_is_folded():
    where = Place("swarm.yaml", 6, 12, "spec.policy.prune")
    base, head = desired(policy=Policy()), desired(policy_places={"prune": where})
    text = render(plan(head, imagined(base, NOW), PlanOptions(baseline=base)))
    told = "> - The rule `policy.prune` changes: false -&#62; true. `rule-changed` `swarm.yaml:6`"
    assert "> [!IMPORTANT]\n> **1 rule of swarm.yaml changed**\n" in text
    assert told in text
    assert "<details>" not in text
