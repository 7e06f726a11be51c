"""What an engine lists again and again is decoded once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.adapters.docker.lists import Lists
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind
from reconciler.model.tasks import TaskState


def task(task_id: str, state: str) -> dict[str, Any]:
    return {"ID": task_id, "ServiceID": "s", "Slot": 1, "Status": {"State": state}, "Spec": {"Name": "\u00fc"}}


def content(*objects: dict[str, Any]) -> bytes:
    return json.dumps(objects).encode()


def test_what_comes_again_as_it_was_is_the_value_that_it_was_and_what_moved_is_read():
    lists = Lists()
    before = lists.tasks(content(task("a", "running"), task("b", "starting"), task("c", "running")))
    after = lists.tasks(content(task("b", "running"), task("a", "running")))
    assert [(one.id, one.state) for one in after] == [("b", TaskState.RUNNING), ("a", TaskState.RUNNING)]
    assert after[1] is before[0]
    assert after[0].raw == task("b", "running")


def test_objects_of_two_kinds_that_look_alike_are_told_apart():
    lists = Lists()
    (service,) = lists.objects(Kind.SERVICE, content({"ID": "x", "Version": {"Index": 3}, "Spec": {"Name": "web"}}))
    (node,) = lists.objects(Kind.NODE, content({"ID": "x", "Description": {"Hostname": "n1"}, "Spec": {"Name": "web"}}))
    assert (service.name, service.version, service.spec) == ("web", 3, {"Name": "web"})
    assert (node.kind, node.name) == (Kind.NODE, "n1")


@pytest.mark.parametrize("empty", [b"null", b"[]"])
def test_an_engine_has_two_ways_to_say_that_there_is_none(empty: bytes):
    lists = Lists()
    lists.tasks(content(task("a", "running")))
    assert lists.tasks(empty) == ()


@pytest.mark.parametrize("strange", [b"{}", b"[1]", b'"x"', b'[{"a": 1}]', b"[{", b"<html>"])
def test_what_is_no_list_of_objects_comes_from_no_engine(strange: bytes):
    for read in (lambda: Lists().tasks(strange), lambda: Lists().objects(Kind.SERVICE, strange)):
        with pytest.raises(SwarmctlError) as caught:
            read()
        assert caught.value.code is ErrorCode.ENGINE_UNREACHABLE


def test_a_list_of_which_nothing_came_is_told_as_broken_off_and_may_pass():
    for read in (lambda: Lists().tasks(b""), lambda: Lists().objects(Kind.SERVICE, b"")):
        with pytest.raises(SwarmctlError, match="broke off") as caught:
            read()
        assert (caught.value.code, caught.value.passing) == (ErrorCode.ENGINE_UNREACHABLE, True)
