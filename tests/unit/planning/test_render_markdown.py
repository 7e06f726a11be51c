"""A plan as a comment: what matters first, within the limit, and nothing of others becomes markup or a message."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Action, ActionType, Blocked, Change, Origin, Plan, TaskEffect
from reconciler.planning.render_escapes import code, fenced, prose, units
from reconciler.planning.render_markdown import LIMIT, LIMIT_MIN, marker_line, render, render_problems
from tests.unit.planning.plans import NASTY, a_creation, a_plan, a_warning, an_update, place, plans, problems, texts

FENCE = re.compile(r"(`{3,})(diff)?")


def outside_fences(markdown: str) -> list[str]:
    """The lines that are no code, while checking that each fence is closed by its like."""
    lines, fence = [], None
    for line in markdown.split("\n"):
        if fence is not None:
            if line == fence:
                fence = None
            continue
        opening = FENCE.fullmatch(line)
        if opening:
            fence = opening[1]
        else:
            lines.append(line)
    assert fence is None, "a fence is left open"
    return lines


def check_page(markdown: str, limit: int) -> None:
    """What holds for every page: its length, its folds and fences, and that no word of others is markup."""
    assert units(markdown) <= limit
    lines = outside_fences(markdown)
    folds = [tag for line in lines for tag in re.findall(r"</?details>", line)]
    assert folds == ["<details>", "</details>"] * (len(folds) // 2)
    prose_only = re.sub(r"`[^`]*`|<code>.*?</code>", "", "\n".join(lines[1:]))
    tags = set(re.findall(r"<[^>]*>?", prose_only))
    assert tags <= {"<details>", "</details>", "<summary>", "</summary>", "<br>"}
    assert not re.search(r"[@#]\w", re.sub(r"&#\d+;", "", prose_only))
    assert not any(line.startswith("/") for line in lines)
    assert all(one.isprintable() or one in "\n\t\u200b" for one in markdown)


def test_the_summary_comes_first_then_what_is_in_the_way_then_each_object_folded():
    plan = a_plan(
        an_update(
            Change("Mode.Replicated.Replicas", 5, 3, origin=Origin.DRIFT, applied=3, place=place(9)),
            Change("TaskTemplate.ContainerSpec.Image", "nginx:1.25", "nginx:1.27", place=place(5)),
        ),
        a_creation(Kind.CONFIG, "web_c", Change("Data", ABSENT, "a\nb\n", place=place(30))),
        blocked=(Blocked("network.web_x", Problem(ErrorCode.NAME_CONFLICT, "Network x can't be created.")),),
        unplaceable=(a_warning(why="1 node is drained."),),
        notes=(Problem(ErrorCode.IMAGE_UNRESOLVED, "Image x was not looked up."),),
    )
    assert (
        render(plan, marker="prod")
        == """\
<!-- swarmctl:plan:prod -->
## swarmctl plan

**Plan: 1 to add, 1 to change, 0 to destroy. 1 blocked. 1 field drifted.**

The swarm at `unix:///test.sock` compared with the repository: commit `abc123abc123`, `infra at abc123`.

> [!CAUTION]
> **1 change blocked**
>
> - Network x can't be created. `name-conflict`

> [!WARNING]
> **1 finding about where tasks can run**
>
> - 2 of 3 tasks of service web_api fit no node. `unschedulable` `stacks/web.yaml:14`<br>1 node is drained.

> [!WARNING]
> **1 field drifted since the swarm was last applied, and this plan undoes that**
>
> - `service.web_api`: `Mode.Replicated.Replicas` was applied as `3` and is `5`

| stack | add | change | destroy | effect on running tasks |
|---|--:|--:|--:|---|
| `web` | 1 | 1 | 0 | `web_api`: rolling restart of 3 tasks, 1 at a time, stop-first, about 40 s |

<details><summary>1 note</summary>

- Image x was not looked up. `image-unresolved`

</details>

<details><summary><code>&#126;</code> <code>service.web_api</code> will be updated in place: \
rolling restart of 3 tasks, 1 at a time, stop-first, about 40 s</summary>

```diff
# it differs, stacks/web.yaml:3
@@ Mode.Replicated.Replicas @@ drift, stacks/web.yaml:9
- 5
+ 3
@@ TaskTemplate.ContainerSpec.Image @@ intent, stacks/web.yaml:5
- "nginx:1.25"
+ "nginx:1.27"
```

</details>
<details><summary><code>&#43;</code> <code>config.web_c</code> will be created</summary>

```diff
# stacks/web.yaml:30
@@ Data @@
+a
+b
```

</details>
"""
    )


def test_nothing_to_do():
    assert "**No changes.**" in render(a_plan())
    assert "<details>" not in render(a_plan())


def test_nothing_sensitive_is_shown():
    password = an_update(Change("Env[PASSWORD]", "hunter2", "hunter3", True, Origin.BOTH, "hunter1"))
    assert "hunter" not in render(a_plan(password))


@settings(deadline=None, max_examples=80)
@given(plans, st.sampled_from([LIMIT_MIN, 10_000, LIMIT]))
def test_any_plan_makes_a_sound_page(plan: Plan, limit: int):
    check_page(render(plan, limit=limit), limit)


@settings(deadline=None, max_examples=50)
@given(st.lists(problems, min_size=1, max_size=80), st.sampled_from([LIMIT_MIN, LIMIT]))
def test_errors_make_a_sound_page(found: list[Problem], limit: int):
    check_page(render_problems(found, limit=limit), limit)


@pytest.mark.parametrize("name", ["web", "日本語" * 40, "|`@x</details>" * 30, "👩" * 200])
def test_a_thousand_stacks_stay_within_the_limit_and_the_summary_whole(name: str):
    plan = a_plan(
        *(
            replace(an_update(Change("Labels", "a", name), effect_text=name), id=f"service.{n}", stack=name + str(n))
            for n in range(1_000)
        ),
        blocked=tuple(Blocked("x", a_warning(name * 20)) for _ in range(300)),
        unplaceable=tuple(a_warning(name * 20) for _ in range(300)),
        notes=tuple(a_warning(name * 20) for _ in range(300)),
    )  # fmt: skip
    markdown = render(plan)
    check_page(markdown, LIMIT)
    assert units(markdown) > LIMIT * 0.8
    assert "**Plan: 0 to add, 1000 to change, 0 to destroy. 300 blocked.**" in markdown
    rows = [line for line in markdown.split("\n") if line.startswith("| ")][1:]
    listed, (more,) = rows[:-1], re.findall(r"\| (\d+) more stacks \| 0 \| (\d+) \| 0", rows[-1])
    assert len(listed) + int(more[0]) == 1_000
    assert more[0] == more[1]
    left_out = re.findall(r"\*\*(\d+) more objects left out", markdown)
    assert int(left_out[0]) + markdown.count("<details>") - 1 == 1_000


def test_one_huge_object_is_cut_and_does_not_push_out_the_next():
    huge = a_creation(Kind.CONFIG, "web_c", Change("Data", "old\n" * 4_000, "".join(f"{n}\n" for n in range(4_000))))
    markdown = render(a_plan(huge, an_update(Change("A", 1, 2))))
    check_page(markdown, LIMIT)
    assert re.search(r"\n# … \d{4} more lines\n", markdown)
    assert "service.web_api" in markdown


@pytest.mark.parametrize("text", NASTY)
def test_a_value_stays_a_value(text: str):
    fence_length = max((len(run) for run in re.findall("`+", text)), default=0)
    assert fenced([f"+ {text}"], "diff").startswith("`" * max(3, fence_length + 1) + "diff\n")
    for inline in (code(text), prose(text)):
        assert "\n" not in inline
        assert "|" not in inline
        assert not re.search(r"<(?!/?code>)", inline)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Ask @octocat about #1.", "Ask &#64;\u200boctocat about &#35;\u200b1."),
        ("Give `deploy.replicas` a number.", "Give `deploy.replicas` a number."),
        ("Give `a|b`.", "Give <code>a&#124;b</code>."),
        ("[x](http://y)", "&#91;x&#93;(http&#58;//y)"),
        ("see www.evil.example", "see www&#46;evil.example"),
        ("two\nlines", "two lines"),
        ("100% of 3", "100&#37; of 3"),
    ],
)
def test_a_sentence_is_no_markup_and_calls_nobody(sentence: str, expected: str):
    assert prose(sentence) == expected


@given(texts)
def test_the_marker_is_one_hidden_line(name: str):
    line = marker_line(name)
    assert re.fullmatch(r"<!-- swarmctl:plan:[A-Za-z0-9._:/-]+ -->", line)
    assert "--" not in line[4:-3]


@pytest.mark.parametrize(
    ("one", "other"), [("größe", "grüße"), ("本番", "default"), ("a b", "a-b"), ("a--b", "a-b"), ("x" * 101, "x" * 102)]
)
def test_two_names_have_two_markers(one: str, other: str):
    assert marker_line(one) != marker_line(other)


def test_a_plain_name_is_its_own_marker():
    assert marker_line("prod/eu-1.a") == "<!-- swarmctl:plan:prod/eu-1.a -->"


def test_a_stack_with_many_services_counts_those_that_it_does_not_tell():
    services = tuple(
        Action(f"service.s{n}", ActionType.UPDATE, Kind.SERVICE, f"s{n}", "web", "x", TaskEffect.SCALE, "2 tasks start")
        for n in range(5)
    )
    assert "`s2`: 2 tasks start<br>and 2 more |" in render(a_plan(*services))
