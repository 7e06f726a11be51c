"""A plan's text: what moved and who moved it, the line that asks, nothing secret, and nothing beyond the terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Action, ActionType, Blocked, Change, Origin, Plan, TaskEffect
from reconciler.planning import render_markdown
from reconciler.planning.context import NO_CLUSTER
from reconciler.planning.render_text import problem_lines, render
from reconciler.planning.render_values import block_lines, columns, duration, elided, elided_pair, short_block_lines
from tests.unit.planning.plans import a_creation, a_plan, a_warning, an_update, place, plans, texts

REPLICAS, IMAGE = "Mode.Replicated.Replicas", "TaskTemplate.ContainerSpec.Image"


def test_drift_is_told_before_intent_and_each_field_with_its_line():
    text = render(
        a_plan(
            an_update(
                Change(REPLICAS, 5, 3, origin=Origin.DRIFT, applied=3, place=place(9)),
                Change(IMAGE, "nginx:evil", "nginx:1.27", origin=Origin.BOTH, applied="nginx:1.25", place=place(5)),
                Change('Labels["a"]', ABSENT, "b", place=place(3)),
            )
        )
    )  # fmt: skip
    assert (
        text
        == """\
Note: the swarm has changed since it was last applied, and no commit asked for that:

  # service.web_api has been changed
  ~ service "web_api" {
      ~ Mode.Replicated.Replicas = 3 -> 5                                # the plan puts it back
      ~ TaskTemplate.ContainerSpec.Image = "nginx:1.25" -> "nginx:evil"  # the plan makes it "nginx:1.27"
    }

swarmctl compared infra at abc123 with the swarm at unix:///test.sock.
Actions are indicated with the following symbols:
   ~ update in place

swarmctl will perform the following actions:

  # service.web_api will be updated in place: it differs
  # effect: rolling restart of 3 tasks, 1 at a time, stop-first, about 40 s
  ~ service "web_api" {                                                  # stacks/web.yaml:3
      ~ Mode.Replicated.Replicas = 5 -> 3                                # drift, stacks/web.yaml:9
      ~ TaskTemplate.ContainerSpec.Image = "nginx:evil" -> "nginx:1.27"  # drift and intent, was applied as \
"nginx:1.25", stacks/web.yaml:5
      + Labels["a"] = "b"                                                # intent
    }

Plan: 0 to add, 1 to change, 0 to destroy. 2 fields drifted.
"""
    )


def test_an_object_that_somebody_removed_is_drift():
    text = render(a_plan(a_creation(Kind.SERVICE, "web_api", origin=Origin.DRIFT)))
    assert "  # service.web_api has been removed; the plan makes it again\n" in text
    assert text.endswith("Plan: 1 to add, 0 to change, 0 to destroy. 1 object drifted.\n")


def test_what_differs_from_a_base_is_not_said_to_have_been_done_without_a_commit():
    # Commits that the base does not have may have asked for it, and what it asks for need not have been applied.
    changed = an_update(Change(REPLICAS, 5, 3, origin=Origin.DRIFT, applied=3, place=place(9)))
    removed = a_creation(Kind.NETWORK, "web_new", origin=Origin.DRIFT)
    against_base = replace(a_plan(changed, removed), base="infra at def456")
    text, markdown = render(against_base), render_markdown.render(against_base)
    assert "the swarm is not what the base (infra at def456) asks for" in text
    assert "# service.web_api differs from the base" in text
    assert "# network.web_new is in the base and not in the swarm; the plan makes it" in text
    assert "1 field and 1 object drifted from the base (`infra at def456`), and this plan undoes that" in markdown
    assert "`Mode.Replicated.Replicas` in the base is `3` and in the swarm `5`" in markdown
    both = an_update(Change(REPLICAS, 5, 4, origin=Origin.BOTH, applied=3, place=place(9)))
    against_base = replace(a_plan(both), base="infra at def456")
    for shown in (render(against_base), render_markdown.render(against_base)):
        assert "drift and intent, in the base 3" in shown
    for words in ("no commit asked", "was last applied", "was applied as", "has been"):
        assert words not in text + markdown


def test_without_drift_nothing_is_said_of_it():
    text = render(a_plan(an_update(Change(REPLICAS, 3, 5, place=place(9)))))
    assert "drift" not in text
    assert "intent" not in text
    assert "      ~ Mode.Replicated.Replicas = 3 -> 5  # stacks/web.yaml:9\n" in text


def test_only_symbols_in_use_are_explained():
    gone = Action("service.b", ActionType.DELETE, Kind.SERVICE, "b", "web", "nothing declares it any more")
    assert "   - destroy\n\n" in render(a_plan(gone))
    assert "create" not in render(a_plan(gone))


def test_what_is_in_the_way_comes_last_where_it_is_seen():
    plan = a_plan(
        blocked=(Blocked("network.web_x", Problem(ErrorCode.NAME_CONFLICT, "Network web_x can't be created.")),),
        unplaceable=(a_warning(why="1 node is drained.", hint="Activate it."),),
        notes=(Problem(ErrorCode.IMAGE_UNRESOLVED, "Image x was not looked up."),),
    )
    assert (
        render(plan)
        == """\
Note: Image x was not looked up. [image-unresolved]

Placement: 1 finding about where tasks can run.
  Warning: 2 of 3 tasks of service web_api fit no node. [unschedulable] stacks/web.yaml:14:5
    why:  1 node is drained.
    hint: Activate it.

Blocked: Network web_x can't be created. [name-conflict]

Plan: 0 to add, 0 to change, 0 to destroy. 1 blocked.
"""
    )


def test_nothing_to_do():
    assert render(a_plan()) == "No changes. The swarm at unix:///test.sock is what infra at abc123 asks for.\n"


def test_two_revisions_may_be_compared_without_a_swarm():
    offline = replace(a_plan(an_update(Change("A", 1, 2))), endpoint=NO_CLUSTER)
    assert "swarmctl compared infra at abc123 with its base; no swarm was asked.\n" in render(offline)
    assert render(replace(offline, actions=())) == "No changes. The base is what infra at abc123 asks for.\n"
    assert "The base of this change compared with the repository: commit `abc123abc123`" in render_markdown.render(
        offline
    )


def test_a_service_always_says_what_becomes_of_its_tasks_and_others_when_there_is_something_to_say():
    quiet = an_update(Change("Labels", "b", "c"), effect=TaskEffect.NONE, effect_text="label only, no task restarts")
    removal = Action(
        "node.n", ActionType.DELETE, Kind.NODE, "n", None, "x", effect_text="no task is left on it by then"
    )
    assert "  # effect: label only, no task restarts\n" in render(a_plan(quiet))
    assert "  # effect: no task is left on it by then\n" in render(a_plan(removal))
    assert "# effect" not in render(a_plan(a_creation(Kind.NETWORK, "n")))


def test_a_config_is_compared_by_lines():
    old = "".join(f"line {number}\n" for number in range(1, 41))
    new = old.replace("line 30\n", "line thirty\n")
    text = render(a_plan(a_creation(Kind.CONFIG, "web_c-1", Change("Data", old, new, place=place(30)))))
    assert """\
      ~ Data =
          @@ -28,5 +28,5 @@
           line 28
           line 29
          -line 30
          +line thirty
           line 31
           line 32
    }
""" in text  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("a\r\nb\r\n", "a\nb\n", ["@@ -1,2 +1,2 @@", "-a\\r", "-b\\r", "+a", "+b"]),
        ("a\nb", "a\nb\n", ["@@ -1,2 +1,2 @@", " a", "-b  (no line feed at the end)", "+b"]),
        ("", "a\n", ["+a"]),
        ("a\n", "", ["-a"]),
        ("x\ty\n", "x y\n", ["@@ -1 +1 @@", "-x\ty", "+x y"]),
        (
            "(4 bytes, sha256 4282a070)",
            "é\nü",
            ["@@ -1 +1,2 @@", "-(4 bytes, sha256 4282a070)", "+é", "+ü  (no line feed at the end)"],
        ),
    ],
)
def test_every_difference_of_texts_is_seen(old: str, new: str, told: list[str]):
    assert list(block_lines(Change("Data", old, new))) == told


@pytest.mark.parametrize("before", ["", "first\n"])
@pytest.mark.parametrize("draw", [render, render_markdown.render])
def test_what_differs_within_long_lines_is_seen(draw: Callable[[Plan], str], before: str):
    old = ", ".join(str(number) for number in range(400)) + "\n"
    new = before.replace("first", "another") + old.replace(" 200,", " 9200,")
    shown = draw(a_plan(a_creation(Kind.CONFIG, "web_c-1", Change("Data", before + old, new + "\n"))))
    lines = [line.strip() for line in shown.splitlines()]
    assert any(line.startswith("-") and " 200, 201," in line for line in lines)
    assert any(line.startswith("+") and " 9200, 201," in line for line in lines)


def test_a_long_line_that_stays_or_comes_alone_is_cut_in_its_middle():
    lines = ["@@ -1 +1 @@", "", " " + "x" * 99, "+" + "y" * 99]
    assert list(short_block_lines(lines, 26)) == [*lines[:2], *(elided(line, 26) for line in lines[2:])]


def test_texts_too_long_to_compare_are_told_quickly():
    old, new = ("".join(f"{word} {number % 7}\n" for number in range(20_000)) for word in ("a", "b"))
    head, *rest = block_lines(Change("Data", old, new))
    assert head == "@@ 20000 lines become 20000, too many to compare; the first to differ is 1 @@"
    assert rest == ["-a 0", "+b 0"]


def test_a_long_new_text_is_cut_and_says_so():
    text = render(a_plan(a_creation(Kind.CONFIG, "c", Change("Data", ABSENT, "x\n" * 50))))
    assert text.count("          +x\n") == 20
    assert "          … 30 more lines\n" in text


def test_nothing_sensitive_is_shown_but_the_short_hash_of_a_secret():
    secret = a_creation(Kind.SECRET, "k", Change("Data", "scrypt:0011223344556677", "scrypt:88112233"))
    password = an_update(
        Change("TaskTemplate.ContainerSpec.Env[DB_PASSWORD]", "hunter2", "hunter3", True, Origin.BOTH, "hunter1")
    )
    text = render(a_plan(secret, password))
    assert "~ Data = (sensitive value, hash 00112233) -> (sensitive value, hash 88112233)\n" in text
    assert "Env[DB_PASSWORD] = (sensitive value) -> (sensitive value)" in text
    assert not any(hidden in text for hidden in ("hunter", "44556677"))


def test_a_value_cannot_command_the_terminal():
    text = render(a_plan(an_update(Change("Labels[\"\x1b[2J\"]", ABSENT, "\x9b31m\u202eevil\x07"))))  # fmt: skip
    assert 'Labels["\\x1b[2J"] = "\\x9b31m\\u202eevil\\u0007"' in text


@settings(deadline=None, max_examples=60)
@given(plans, st.none() | st.integers(1, 140))
def test_any_plan_is_printable_and_keeps_within_the_terminal(plan, width: int | None):
    text = render(plan, width)
    assert all(one.isprintable() or one in "\n\t" for one in text)
    if width is not None:
        assert max(columns(line) for line in text.splitlines()) <= max(width, 40)


@given(texts, texts, st.integers(24, 80))
def test_of_two_values_that_are_cut_the_first_difference_is_seen(head: str, tail: str, room: int):
    head, tail = (repr(one) for one in (head, tail))
    old, new = elided_pair(f"{head}1{tail}", f"{head}2{tail}", room)
    assert columns(old) <= room
    assert columns(new) <= room
    assert old != new


@given(texts, st.integers(1, 50))
def test_a_cut_value_fits(text: str, room: int):
    short = elided(text, room)
    assert columns(short) <= room
    assert short == text or "…" in short


def test_a_problem_is_wrapped_under_its_own_words():
    lines = list(problem_lines(a_warning(why="word " * 20), "Warning", 50))
    assert lines[0] == "Warning: 2 of 3 tasks of service web_api fit no"
    assert lines[2].startswith("  why:  word")
    assert lines[3].startswith("        word")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0s"), (1, "1"), (1_000, "1us"), (2_000_000, "2ms"), (5 * 10**9, "5s"), (90 * 10**9, "1m30s"),
     (3600 * 10**9, "1h"), (1_500_000_000, "1.5s"), (-1, "-1"),
     (-90 * 10**9, "-1m30s")],
)  # fmt: skip
def test_durations(nanoseconds: int, text: str):
    assert duration(nanoseconds) == text
