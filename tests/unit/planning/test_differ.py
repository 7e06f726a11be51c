"""Field-level differences name exactly the path that differs, with both values."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.objects import Kind
from reconciler.model.plan import ABSENT, Change, Origin
from reconciler.model.sensitive import is_stand_in
from reconciler.planning.differ import changes_between
from reconciler.planning.render_values import shown


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [Change("a", 1, 2)]),
        ({"a": 1}, {"a": True}, [Change("a", 1, True)]),
        ({"a": {"b": 1}}, {"a": {}}, [Change("a.b", 1, ABSENT)]),
        ({}, {"a": {"b": [1, 2]}}, [Change("a.b", ABSENT, [1, 2])]),
        ({"Mode": {"Global": {}}}, {"Mode": {"GlobalJob": {}}}, [
            Change("Mode.Global", {}, ABSENT),
            Change("Mode.GlobalJob", ABSENT, {}),
        ]),
        ({"Labels": {"a.b": "1"}}, {"Labels": {"a.b": "2"}}, [Change('Labels["a.b"]', "1", "2")]),
        ({"Env": ["A=1", "B=2"]}, {"Env": ["A=1", "B=3", "C"]}, [
            Change("Env[B]", "2", "3"),
            Change("Env[C]", ABSENT, None),
        ]),
        ({"Env": ["A=1", "B=2"]}, {"Env": ["B=2", "A=1"]}, [Change("Env (order)", ["A", "B"], ["B", "A"])]),
        ({"Ports": [{"TargetPort": 80}]}, {"Ports": [{"TargetPort": 81}]}, [
            Change("Ports[81/tcp].TargetPort", 80, 81),
        ]),
        ({"Args": ["a"]}, {"Args": ["a", "b"]}, [Change("Args", ["a"], ["a", "b"])]),
    ],
)  # fmt: skip
def test_a_difference_is_told_by_its_path_and_both_values(old, new, expected):
    assert list(changes_between(old, new)) == expected


def test_a_mount_more_does_not_shift_the_others():
    data, logs = {"Target": "/data", "Source": "d"}, {"Target": "/logs", "Source": "l"}
    found = changes_between({"Mounts": [logs]}, {"Mounts": [data, logs]})
    assert [change.path for change in found] == ["Mounts[/data].Source", "Mounts[/data].Target"]


def test_mounts_in_another_order_are_told_as_that():
    one, two = {"Target": "/a", "Source": "x"}, {"Target": "/b", "Source": "y"}
    changes = changes_between({"Mounts": [one, two]}, {"Mounts": [two, one]})
    assert changes == (Change("Mounts (order)", ["/a", "/b"], ["/b", "/a"]),)


def test_a_port_more_does_not_shift_the_others():
    web = {"TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"}
    extra = {"TargetPort": 81, "PublishedPort": 7000, "Protocol": "tcp"}
    paths = [change.path for change in changes_between({"Ports": [extra, web]}, {"Ports": [web]})]
    assert paths == ["Ports[81/tcp].Protocol", "Ports[81/tcp].PublishedPort", "Ports[81/tcp].TargetPort"]
    moved = changes_between({"Ports": [{**web, "PublishedPort": 9}]}, {"Ports": [web]})
    assert moved == (Change("Ports[80/tcp].PublishedPort", 9, 8080),)


def ports(*pairs: str) -> dict[str, Any]:
    """The ports of a service, from texts such as 8080:80."""
    split = [[int(number) for number in pair.split(":")] for pair in pairs]
    return {"Ports": [{"TargetPort": t, "Protocol": "tcp", "PublishedPort": p} for p, t in sorted(split)]}


def test_a_container_port_that_is_published_twice_shifts_no_other_port():
    applied, live = ports("8080:80", "9090:80"), ports("7070:70", "8080:80", "9090:80")
    found = changes_between(live, ports("8080:80", "9090:80", "10000:100"), applied=applied)
    assert {(one.path.rpartition(".")[0], one.origin) for one in found} == {
        ("Ports[70/tcp/7070]", Origin.DRIFT),
        ("Ports[100/tcp/10000]", Origin.INTENT),
    }
    (moved,) = changes_between(live, ports("7070:70", "8080:80", "9091:80"))
    assert moved == Change("Ports[80/tcp/9091].PublishedPort", 9090, 9091)


def test_what_was_applied_decides_too_which_of_two_ports_is_gone():
    applied, live = ports("8080:80", "9090:80"), ports("9090:80")
    found = changes_between(live, ports("8080:80"), applied=applied)
    assert {(one.path, one.origin) for one in found if one.path.endswith("PublishedPort")} == {
        ("Ports[80/tcp/8080].PublishedPort", Origin.DRIFT),
        ("Ports[80/tcp/9090].PublishedPort", Origin.INTENT),
    }


@pytest.mark.parametrize("applied", [{}, {"Mounts": [{"Target": "/a"}]}])
def test_what_the_cluster_added_and_what_git_adds_are_two_items(applied: dict[str, Any]):
    live, asked = ({"Mounts": [*applied.get("Mounts", ()), {"Target": target}]} for target in ("/x", "/y"))
    found = changes_between(live, asked, applied=applied)
    assert {(one.path, one.origin) for one in found} == {
        ("Mounts[/x].Target", Origin.DRIFT),
        ("Mounts[/y].Target", Origin.INTENT),
    }


def test_two_mounts_on_one_target_are_told_by_position():
    one, two = {"Target": "/d", "Source": "a"}, {"Target": "/d", "Source": "b"}
    changes = changes_between({"Mounts": [one, two]}, {"Mounts": [one, one]})
    assert changes == (Change("Mounts[1].Source", "b", "a"),)


@pytest.mark.parametrize("name", ["DB_PASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY", "MYSQL_PASS", "apiKey"])
def test_a_variable_that_sounds_secret_is_marked(name):
    (change,) = changes_between({"Env": [f"{name}=old"]}, {"Env": [f"{name}=new"]})
    assert change.sensitive


@pytest.mark.parametrize("name", ["PATH", "COMPASS_HOST", "BYPASS_CACHE", "PASSENGER_PORT"])
def test_an_ordinary_variable_is_shown(name):
    (change,) = changes_between({"Env": [f"{name}=old"]}, {"Env": [f"{name}=new"]})
    assert not change.sensitive


@pytest.mark.parametrize(
    ("path", "sensitive"),
    [
        ("Labels", {"api_key": "hunter2"}),
        ("TaskTemplate.ContainerSpec.Labels", {"com.example.password": "hunter2"}),
        ("DriverConfig.Options", {"o": "addr=10.0.0.1,username=u,password=hunter2"}),
    ],
)
def test_values_of_labels_and_options_with_telling_names_are_sensitive(path, sensitive):
    open_one = {"team": "shop"}
    for old, new in (({}, sensitive), (sensitive, {}), (sensitive, dict.fromkeys(sensitive, "password=other"))):
        change, other = changes_between(old, new | open_one, path)
        assert change.sensitive
        assert not other.sensitive
        sides = [shown(value, change, Kind.SERVICE) for value in (change.old, change.new)]
        assert all(one == "null" or is_stand_in(one) for one in sides)
        assert sides[0] != sides[1]
    assert changes_between(sensitive, sensitive, path) == ()
