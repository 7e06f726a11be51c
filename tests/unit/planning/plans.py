"""Plans as values, in words and at random: for what shows them, it does not matter who made them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reconciler.model.errors import ErrorCode, Place, Problem, Severity
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.plan import ABSENT, Action, ActionType, Blocked, Change, Origin, Plan, TaskCounts, TaskEffect

NASTY = [
    "", "web", "a b", "`", "``` ", "````\n```", "</details>", "</summary><b>", "@octocat", "#1", "!7", "a|b", "\\|",
    "*b*", "<!-- -->", "-->", "/close\n/merge", "\x1b[31mred", "\r", "\x9b2J", "\u202eevil", "日本語テキスト",
    "👩‍👩‍👧‍👦" * 3,
    "e\u0301\u0302" * 40, "\ud800", "x" * 700, "line\n" * 60, "\t- x", "[a](http://b)",
    "www.evil.example", "~~~", "a -> b  # c",
    "@@ -1 +1 @@", "&lt;", "$(x)", "==",
]  # fmt: skip
"""What somebody might call something, and what might upset a terminal or a page."""

texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=30))
places = st.none() | st.builds(Place, texts, st.integers(0, 999), st.integers(0, 80), texts)
values = st.one_of(st.none(), st.booleans(), st.integers(), texts, st.lists(texts, max_size=3), st.just({}))
problems = st.builds(Problem, st.sampled_from(ErrorCode), texts, texts, texts, places, st.sampled_from(Severity))


@st.composite
def changes(draw: st.DrawFn) -> Change:
    old, new = draw(values), draw(values)
    absent = draw(st.sampled_from(["old", "new", ""]))
    return Change(
        draw(texts),
        ABSENT if absent == "old" else old,
        ABSENT if absent == "new" else new,
        sensitive=draw(st.booleans()),
        origin=draw(st.sampled_from(Origin)),
        applied=draw(st.just(ABSENT) | values),
        place=draw(places),
    )


@st.composite
def actions(draw: st.DrawFn) -> Action:
    kind, name = draw(st.sampled_from(Kind)), draw(texts)
    return Action(
        id=f"{kind}.{name or 'x'}",
        type=draw(st.sampled_from(ActionType)),
        kind=kind,
        name=name,
        stack=draw(st.none() | texts),
        reason=draw(texts),
        effect=draw(st.sampled_from(TaskEffect)),
        effect_text=draw(texts),
        changes=tuple(draw(st.lists(changes(), max_size=4))),
        place=draw(places),
        origin=draw(st.sampled_from(Origin)),
        object_id=draw(st.none() | st.just("id-1")),
        version=draw(st.integers(0, 2**40)),
        rotates=draw(st.sampled_from([(), (NodeRole.WORKER,)])),
        tasks=draw(st.none() | st.just(TaskCounts(restart=3, seconds=40))),
    )


plans = st.builds(
    Plan,
    revision=texts,
    commit=st.none() | st.just("abc123" * 6),
    endpoint=texts,
    actions=st.lists(actions(), max_size=6).map(tuple),
    blocked=st.lists(st.builds(Blocked, texts, problems), max_size=3).map(tuple),
    notes=st.lists(problems, max_size=3).map(tuple),
    services=st.lists(texts, max_size=2).map(tuple),
    unplaceable=st.lists(problems, max_size=3).map(tuple),
    atomic_stacks=st.lists(texts, max_size=1).map(tuple),
)


def place(line: int, file: str = "stacks/web.yaml") -> Place:
    return Place(file, line, 5)


def an_update(*changed: Change, **fields: Any) -> Action:
    """An update of the service web_api, declared in line 3."""
    defaults: dict[str, Any] = {
        "effect": TaskEffect.ROLLING,
        "effect_text": "rolling restart of 3 tasks, 1 at a time, stop-first, about 40 s",
        "place": place(3),
        "object_id": "id-web_api",
        "version": 11,
    }
    return Action(
        "service.web_api",
        ActionType.UPDATE,
        Kind.SERVICE,
        "web_api",
        "web",
        "it differs",
        changes=changed,
        **(defaults | fields),
    )


def a_creation(kind: Kind, name: str, *changed: Change, **fields: Any) -> Action:
    defaults: dict[str, Any] = {"stack": "web", "reason": "it does not exist", "place": place(30)}
    return Action(f"{kind}.{name}", ActionType.CREATE, kind, name, changes=changed, **(defaults | fields))


def a_plan(*actions: Action, **fields: Any) -> Plan:
    return Plan("infra at abc123", "abc123" * 6 + "abcd", "unix:///test.sock", actions, **fields)


def a_warning(what: str = "2 of 3 tasks of service web_api fit no node.", **fields: Any) -> Problem:
    return Problem(ErrorCode.UNSCHEDULABLE, what, place=place(14), severity=Severity.WARNING, **fields)
