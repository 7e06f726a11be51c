"""The create requests and docker's own warnings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.main import main
from reconciler.manifests.requests import create_requests, docker_warnings
from reconciler.model.errors import ErrorCode
from tests.unit.manifests.builders import stack, stack_problems

TEXT = """\
services:
  b: {image: i, networks: [n], secrets: [k]}
  a:
    image: i
    restart: always
    build: .
    expose: ["1"]
    container_name: x
    tmpfs: /t
    ports: ["127.0.0.1:80-81:80-81"]
networks: {n: {}}
secrets: {k: {file: k.txt}}
configs: {c: {file: k.txt}}
"""


def test_requests_come_in_docker_s_order() -> None:
    requests = create_requests(stack(TEXT, {"k.txt": "hunter2"}))
    names = [(request["path"].split("/")[1], request["body"]["Name"]) for request in requests]
    assert names == [
        ("networks", "s_default"),
        ("networks", "s_n"),
        ("secrets", "s_k"),
        ("configs", "s_c"),
        ("services", "s_a"),
        ("services", "s_b"),
    ]
    assert requests[0]["body"]["CheckDuplicate"] is True


def test_a_secret_s_content_is_left_out_unless_asked_for() -> None:
    state = stack(TEXT, {"k.txt": "hunter2"})
    [hidden] = [one["body"] for one in create_requests(state) if one["path"] == "/secrets/create"]
    [shown] = [one["body"] for one in create_requests(state, with_secrets=True) if one["path"] == "/secrets/create"]
    assert (hidden["Data"], shown["Data"]) == ("(sensitive value)", "aHVudGVyMg==")


def test_warnings_are_docker_s_own_words() -> None:
    assert docker_warnings(stack(TEXT, {"k.txt": "x"}).warnings) == [
        "ignoring IP-address (127.0.0.1:80:80/tcp) service will listen on '0.0.0.0'\n"
        "ignoring IP-address (127.0.0.1:81:81/tcp) service will listen on '0.0.0.0'",
        "Ignoring unsupported options: build, restart\n",
        "Ignoring deprecated options:\n\n"
        "container_name: Setting the container name is not supported.\n\n"
        "expose: Exposing ports is unnecessary - services on the same network can access each other's containers"
        " on any port.\n",
    ]


def test_render_requests_prints_json_of_merged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("services: {a: {image: i, restart: always}}\n")
    (tmp_path / "over").mkdir()
    (tmp_path / "over" / "b.yaml").write_text("services: {a: {image: j}}\n")
    arguments = ["render", "-C", str(tmp_path / "a.yaml"), "-C", str(tmp_path / "over" / "b.yaml"), "--requests"]
    assert main([*arguments, "--stack-name", "x"]) == 0
    printed = capsys.readouterr()
    requests = json.loads(printed.out)
    assert [request["body"]["Name"] for request in requests] == ["x_default", "x_a"]
    assert requests[1]["body"]["TaskTemplate"]["ContainerSpec"]["Image"] == "j:latest"
    assert printed.err == "Ignoring unsupported options: restart\n\n"


def test_with_secrets_needs_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(tmp_path), "--with-secrets"]) == 1
    assert "[usage]" in capsys.readouterr().err


def test_two_networks_with_one_name_and_one_definition_are_one() -> None:
    state = stack("services: {a: {image: i, networks: [x, y]}}\nnetworks: {x: {name: n}, y: {name: n}}")
    assert [wanted.name for wanted in state.objects] == ["n", "s_a"]


def test_long_ports_need_version_3_2() -> None:
    [problem] = stack_problems('version: "3.1"\nservices: {a: {image: i, ports: [{target: 80}]}}')
    assert (problem.code, "version 3.2" in problem.what) == (ErrorCode.WRONG_TYPE, True)
    assert stack('version: "3.2"\nservices: {a: {image: i, ports: [{target: 80}]}}').objects
