"""A saved plan: nothing secret in it, no edit of it goes unseen, and it is refused when anything has moved."""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.cli.saved import engine_of, made_elsewhere
from reconciler.model import labels
from reconciler.model.actual import ActualState
from reconciler.model.desired import DesiredState
from reconciler.model.errors import ErrorCode, Place, Problem, Severity, SwarmctlError
from reconciler.model.images import ResolvedImage, ResolveMode
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.plan import Plan
from reconciler.planning import plan_file, plan_file_check
from reconciler.planning.plan_file import PlanSource, SavedPlan, check_fresh, decode, encode, is_plan_file
from reconciler.planning.plan_file_check import moved_beside
from reconciler.planning.plan_file_fields import ImageAnswer
from reconciler.settings import EndpointSettings
from tests.unit.planning.builders import (
    a_node,
    actual,
    carried_out,
    content_spec,
    desired,
    planned,
    running_web,
    service_spec,
    wanted,
    wanted_node,
    web_service,
)
from tests.unit.planning.plans import plans

CREATED = datetime.datetime(2026, 3, 4, 5, 6, 7, tzinfo=datetime.UTC)
SOURCE = PlanSource("infra", "main", None, ("a.yaml",), ("web",), "docker", "unix:///x", None, ResolveMode.ALWAYS)
IMAGES: dict[str, ImageAnswer] = {
    "nginx:1.27": ResolvedImage("sha256:1234", ({"Architecture": "amd64", "OS": "linux"},)),
    "gone:1": Problem(
        ErrorCode.IMAGE_UNRESOLVED, "None.", "Down.", "Wait.", Place("a.yaml", 3, 1, "x"), Severity.WARNING, "d"
    ),
    "none:1": None,
}  # fmt: skip


def saved_text(plan: Plan, cluster: ActualState, source: PlanSource = SOURCE) -> str:
    return encode(plan, source, cluster, IMAGES, CREATED, "1.2.3")


def saved(state: DesiredState, cluster: ActualState) -> SavedPlan:
    return decode(saved_text(planned(state, cluster), cluster))


def refused(text: str) -> Problem:
    with pytest.raises(SwarmctlError) as error:
        decode(text)
    (problem,) = error.value.problems
    assert problem.code is ErrorCode.PLAN_FILE_INVALID
    assert problem.why
    assert problem.hint
    return problem


def moves(before: SavedPlan, state: DesiredState, cluster: ActualState) -> list[tuple[str, str]]:
    """What the plan is refused for now: (what, why) of each problem."""
    with pytest.raises(SwarmctlError) as error:
        check_fresh(before, planned(state, cluster), cluster)
    assert {problem.code for problem in error.value.problems} == {ErrorCode.STALE_PLAN}
    return [(one.what.removeprefix("The saved plan is stale. "), one.why) for one in error.value.problems]


SCALED = web_service(replicas=5)
CLUSTER = actual(*running_web(), a_node("node1", role="manager"))
TEXT = saved_text(planned(SCALED, CLUSTER), CLUSTER)


def test_what_is_saved_is_what_is_read():
    back = decode(TEXT)
    assert (back.source, back.images, back.commit) == (SOURCE, IMAGES, "abc1234")
    assert (back.swarmctl_version, back.created_at) == ("1.2.3", "2026-03-04T05:06:07+00:00")
    assert (back.endpoint, back.swarm_id) == ("unix:///test.sock", "id-swarm")
    assert [(one.id, one.object_id, one.version, one.read) for one in back.objects] == [
        ("service.web_api", "id-web_api", 10, None)
    ]
    assert back.plan["actions"][0]["changes"][0]["new"] == 5
    assert is_plan_file(TEXT)
    check_fresh(back, planned(SCALED, CLUSTER), CLUSTER)


@settings(deadline=None, max_examples=40)
@given(plans)
def test_any_plan_can_be_saved(plan: Plan):
    with patch.object(plan_file_check, "PROOF_COST", 2):
        text = saved_text(plan, CLUSTER)
        assert text.isascii()
        assert len(decode(text).plan["actions"]) == len(plan.actions)


# -- files that are not what was saved -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(st.integers(0, len(TEXT) - 1), st.characters())
@example(0, "[")
@example(TEXT.index('file": 1') + 7, "2")
@example(len(TEXT) - 1, " ")
@example(TEXT.index("abc1234"), "b")
def test_an_edit_of_one_character_is_refused(position: int, character: str):
    if character != TEXT[position]:
        refused(TEXT[:position] + character + TEXT[position + 1 :])
    refused(TEXT[:position] + TEXT[position + 1 :])
    refused(TEXT[:position] + character + TEXT[position:])


def test_a_file_that_ends_early_is_refused_wherever_it_ends():
    for end in range(len(TEXT)):
        refused(TEXT[:end])


@settings(deadline=None, max_examples=100)
@given(st.text() | st.binary().map(lambda content: content.decode("latin-1")))
def test_other_text_is_refused(text: str):
    refused(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "It is empty."),
        (TEXT[:500], "It is truncated or was edited."),
        ("services: {}", "It is no JSON."),
        ("[" * 100_000, "It is no JSON."),
        ("9" * 10_000, "It is no JSON."),
        ("{}", "It is no plan file."),
        ("[1]", "It is no plan file."),
        (json.dumps(decode(TEXT).plan), "It is a plan to read."),
        (json.dumps(json.loads(TEXT)), "It was edited."),
        (TEXT.replace("\n", "\r\n"), "It was edited."),
        (TEXT.replace('"new": 5', '"new": 6'), "It was edited."),
        (TEXT.replace('file": 1', 'file": 2'), "It was made by another version of swarmctl."),
        (TEXT.replace('file": 1', 'file": true'), "It was made by another version of swarmctl."),
    ],
    ids=range(13),
)
def test_the_reason_is_exact(text: str, what: str):
    assert refused(text).what == f"The plan file can't be used. {what}"


def test_another_version_is_named():
    text = TEXT.replace('file": 1', 'file": 2')
    assert refused(text).why == "Its format is 2 (swarmctl 1.2.3), this swarmctl reads 1."


def test_a_file_too_large_is_not_even_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan_file, "CHARACTERS_MAX", 100)
    assert "too large" in refused(TEXT).what


def resealed(content: dict[str, Any]) -> str:
    """A file that somebody made by hand, with a right checksum."""
    content.pop("checksum", None)
    body = json.dumps(content, indent=2).removesuffix("\n}")
    return f'{body},\n  "checksum": "sha256:{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n'


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, item in below for one in places_in(item, (*path, key)))]


def test_a_forged_file_never_gives_a_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan_file_check, "PROOF_COST", 2)
    now, codes = planned(SCALED, CLUSTER), set()
    whole = json.loads(TEXT)
    assert decode(resealed(copy.deepcopy(whole))).source == SOURCE
    for path in places_in(whole)[1:]:
        for other in (None, 7, "x", [], {}, [7], {"a": 7}, True, "a\0b"):
            content = copy.deepcopy(whole)
            inner = content
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = other
            try:
                forged = decode(resealed(content))
                assert engine_of(forged, EndpointSettings()) is not None
                with made_elsewhere(forged):
                    check_fresh(forged, now, CLUSTER)
            except SwarmctlError as error:
                codes.add(error.code)
    assert codes == {ErrorCode.PLAN_FILE_INVALID, ErrorCode.STALE_PLAN}


# -- plans that are not what they were -----------------------------------------------------------------------------


def test_a_moved_branch_is_named_with_both_commits():
    before = saved(SCALED, CLUSTER)
    now = replace(web_service(replicas=6), commit="def4567")
    assert moves(before, now, CLUSTER) == [
        ("main is now def4567, the plan was made for abc1234.", "Another commit may ask for something else.")
    ]


def test_a_moved_object_is_named_with_both_versions():
    network, service = running_web()
    later = actual(network, replace(service, version=12))
    assert moves(decode(TEXT), SCALED, later) == [
        ("service.web_api has moved.", "It was changed meanwhile: it is at version 12, the plan read version 10.")
    ]


def test_a_removed_object_is_named():
    network, _ = running_web()
    assert moves(decode(TEXT), SCALED, actual(network)) == [("service.web_api has moved.", "It was removed meanwhile.")]


def test_an_object_that_somebody_else_created_is_named():
    before = saved(SCALED, actual(running_web()[0]))
    assert moves(before, SCALED, CLUSTER) == [
        ("service.web_api has moved.", "It was created meanwhile; the plan wanted to create it.")
    ]


def test_an_object_made_anew_under_its_name_is_another_one():
    network, service = running_web()
    assert ("service.web_api has moved.", "It was removed meanwhile.") in moves(
        decode(TEXT), SCALED, actual(network, replace(service, id="another"))
    )


def test_an_object_that_the_plan_does_not_touch_may_move():
    network, service = running_web()
    beside = actual(replace(network, version=99), service, a_node("node1", role="manager"))
    check_fresh(decode(TEXT), planned(SCALED, beside), beside)


def test_drift_of_what_the_plan_does_not_touch_is_left_out_unless_something_comes_after_it():
    both = desired(*web_service().objects, wanted(Kind.SERVICE, service_spec("web_side")))
    scaled = desired(*web_service(replicas=5).objects, wanted(Kind.SERVICE, service_spec("web_side")))
    needing = desired(
        *scaled.objects[:1], wanted(Kind.SERVICE, service_spec(replicas=5), needs=("web_side",)), scaled.objects[2]
    )
    cluster = carried_out(planned(both, actual()), actual())
    spec = copy.deepcopy(cluster.by_name(Kind.SERVICE)["web_side"].spec)
    spec["Labels"]["meddled"] = "yes"
    meddled = replace(
        cluster, services=tuple(replace(one, spec=spec) if one.name == "web_side" else one for one in cluster.services)
    )
    assert moved_beside(saved(scaled, cluster), planned(scaled, meddled)) == {"service.web_side"}
    assert moved_beside(saved(needing, cluster), planned(needing, meddled)) == frozenset()
    assert moves(saved(needing, cluster), needing, meddled)[0][0] == "service.web_side: a new plan changes it as well."
    more = desired(*scaled.objects, wanted(Kind.SERVICE, service_spec("web_more")))
    assert moved_beside(saved(scaled, cluster), planned(more, cluster)) == frozenset(), "nobody moved the swarm"


def test_another_swarm_is_refused_for_that_alone():
    other = replace(CLUSTER, swarm=replace(CLUSTER.swarm, id="other"), endpoint="tcp://b")
    assert moves(decode(TEXT), SCALED, other) == [
        ("This is another swarm.", "The plan was made for swarm id-swarm at unix:///test.sock; tcp://b is swarm other.")
    ]


def test_files_that_changed_without_a_commit_are_named():
    state = replace(SCALED, commit=None)
    cluster = actual(*running_web())
    before = decode(saved_text(planned(state, cluster), cluster, replace(SOURCE, revision=None)))
    after = replace(web_service(replicas=6), commit=None)
    files = (
        "The files at infra, the environment variables that they use, or what the swarm has besides, "
        "are not what they were."
    )
    assert moves(before, after, cluster) == [("service.web_api: a new plan changes it in another way.", files)]
    nothing = replace(web_service(), commit=None)
    assert moves(before, nothing, cluster) == [("service.web_api: there is nothing to do any more.", files)]


def test_an_action_more_is_named():
    more = desired(*SCALED.objects, wanted(Kind.SERVICE, service_spec("web_more")))
    assert [what for what, _ in moves(decode(TEXT), more, CLUSTER)] == [
        "service.web_more: a new plan changes it as well."
    ]


def with_secret(content: str, password: str = "hunter2") -> DesiredState:
    secret = wanted(Kind.SECRET, content_spec("web_key", content))
    return desired(
        *web_service().objects[:1],
        secret,
        wanted(Kind.SERVICE, service_spec(Env=[f"DB_PASSWORD={password}", "URL=postgres://u:swordfish@db"])),
    )


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (with_secret("other"), "secret.web_key: a new plan changes it in another way."),
        (with_secret("correct horse", "hunter3"), "Something that plans don't show has changed: "),
    ],
)
def test_a_secret_that_changed_is_seen_though_it_is_not_shown(other: DesiredState, told: str):
    cluster = actual()
    before = saved(with_secret("correct horse"), cluster)
    check_fresh(before, planned(with_secret("correct horse"), cluster), cluster)
    (what, _), = moves(before, other, cluster)  # fmt: skip
    assert what.startswith(told)


def test_nothing_in_the_file_gives_a_secret_away():
    cluster = actual()
    text = saved_text(planned(with_secret("correct horse"), cluster), cluster)
    assert not any(hidden in text for hidden in ("hunter2", "correct horse", "Y29ycmVjdCBob3JzZQ"))
    hashes = {name: value for name, value in re.findall(r'"(\w+)": "((?:sha256|scrypt):[0-9a-f]+)', text)}
    # One slow hash over everything, the checksum over what can be read anyway, and what the secret's name may have.
    assert {name: len(value.partition(":")[2]) for name, value in hashes.items()} == {
        "proof": 32,
        "checksum": 64,
        "digest": 4,
        "new": 8,
    }
    again = encode(
        planned(with_secret("correct horse"), cluster), SOURCE, cluster, IMAGES, CREATED.replace(year=2027), "1"
    )
    assert decode(text).proof != decode(again).proof


# -- what moves by itself ------------------------------------------------------------------------------------------


def node_plan(node: ObservedObject) -> tuple[DesiredState, ActualState]:
    state = desired(nodes=(wanted_node("node1", labels={"zone": "a"}),), stacks=())
    return state, actual(node)


def test_a_node_may_beat_its_heart_but_nobody_may_change_it():
    node = a_node("node1", role="manager")
    before = saved(*node_plan(node))
    state, later = node_plan(replace(node, version=77))
    check_fresh(before, planned(state, later), later)
    drained = a_node("node1", role="manager", Availability="drain")
    assert moves(before, *node_plan(drained)) == [("node.node1 has moved.", "It was changed meanwhile.")]


def test_a_node_with_several_steps_is_told_of_once():
    managers = [a_node(name, role="manager") for name in ("node1", "node2", "node3")]
    state = desired(
        nodes=tuple(wanted_node(f"node{n}", role=role) for n, role in enumerate(("manager", "manager", "worker"), 1)),
        stacks=(),
    )
    cluster = actual(*managers)
    before = saved(state, cluster)
    assert len(before.objects) > 1
    check_fresh(before, planned(state, cluster), cluster)
    labelled = actual(*managers[:2], a_node("node3", role="manager", Labels={"a": "b"}))
    assert ("node.node3 has moved.", "It was changed meanwhile.") in moves(before, state, labelled)
    assert len(moves(before, state, labelled)) == 1


def test_what_we_record_on_the_swarm_is_no_change_of_it():
    state = desired(settings={"Orchestration": {"TaskHistoryRetentionLimit": 9}}, stacks=())
    cluster = actual()
    before = saved(state, cluster)
    spec = {**cluster.swarm.spec, "Labels": {f"{labels.INVENTORY}.other": "z1:xyz"}}
    later = replace(cluster, swarm=replace(cluster.swarm, spec=spec, version=44))
    check_fresh(before, planned(state, later), later)
    other = replace(cluster, swarm=replace(cluster.swarm, spec={**spec, "Name": "x"}, version=45))
    assert moves(before, state, other) == [("swarm.default has moved.", "It was changed meanwhile.")]
