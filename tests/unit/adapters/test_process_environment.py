"""Command lines, environments and paths of the process runtime."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.adapters.process_runtime.addresses import LOOPBACK_POOL, LoopbackAddresses
from reconciler.adapters.process_runtime.environment import command_line, environment, expand, expand_file
from reconciler.adapters.process_runtime.folder import inside
from reconciler.model.assignments import Assignment, MountedFile
from reconciler.model.errors import SwarmctlError
from reconciler.model.tasks import TaskState


def assigned(slot: int = 2, **container: Any) -> Assignment:
    spec = {"ContainerSpec": {"Image": "app:1@sha256:abc", **container}}
    labels = {"tier": "front"}
    return Assignment("task0123456789", "svc1", "web", labels, slot, "node9", "host9", TaskState.RUNNING, spec)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("{{.Service.Name}}-{{ .Task.Slot }}", "web-2"),
        ("{{.Service.ID}}", "svc1"),
        ("{{.Task.ID}}", "task0123456789"),
        ("{{.Task.Name}}", "web.2.task0123456789"),
        ("{{.Node.ID}}@{{.Node.Hostname}}", "node9@host9"),
        ('{{index .Service.Labels "tier"}}', "front"),
        ('{{index .Service.Labels "none"}}', ""),
        ("{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "linux/x86_64"),
        ('{{if eq .Task.Slot "2"}}two{{else}}other{{end}}', "two"),
        ("{{range $k, $v := .Service.Labels}}{{$k}}={{$v}};{{end}}", "tier=front;"),
    ],
)
def test_placeholders_are_filled_in(template: str, expected: str) -> None:
    assert expand(template, assigned()) == expected


def test_a_global_task_has_its_node_in_place_of_a_slot() -> None:
    assert expand("{{.Task.Slot}} {{.Task.Name}}", assigned(slot=0)) == "node9 web.node9.task0123456789"


def test_an_unknown_placeholder_is_an_error() -> None:
    with pytest.raises(SwarmctlError, match=r"expanding env failed.*<\.Task\.Color>"):
        expand("{{.Task.Color}}", assigned())


def test_a_templated_file_holds_others_by_their_targets() -> None:
    key, plain = MountedFile("s1", "key", 0o400, b"hush"), MountedFile("c1", "/c", 0o444, b"plain")
    task = replace(assigned(Env=["A={{.Task.Slot}}"]), secrets=(key,), configs=(plain,))
    template = b'{{secret "key"}} {{config "/c"}} {{env "A"}} {{env "B"}}|{{.Service.Name}}'
    assert expand_file(template, task) == b"hush plain 2 |web"
    with pytest.raises(SwarmctlError, match="error calling config: config target c1 not found"):
        expand_file(b'{{config "c1"}}', task)


def test_a_task_is_told_its_generic_resources() -> None:
    task = replace(assigned(), generic_resources=(("gpu", "a"), ("ssd", 2), ("gpu", "b")))
    found = environment(task, "/data/t", "127.64.0.9", "/bin")
    assert (found["DOCKER_RESOURCE_GPU"], found["DOCKER_RESOURCE_SSD"]) == ("a,b", "2")


def test_the_environment_is_a_minimal_base_with_what_the_service_gives() -> None:
    given = ["A={{.Task.Slot}}", "EMPTY=", "NOVALUE", "B=x=y", "LANG=de", "SWARM_TASK_DIR=/elsewhere"]
    assert environment(assigned(Env=given), "/data/t", "127.64.0.9", "/bin") == {
        "PATH": "/bin",
        "LANG": "de",
        "HOME": "/data/t",
        "A": "2",
        "EMPTY": "",
        "B": "x=y",
        "HOSTNAME": "task01234567",
        "SWARM_TASK_DIR": "/data/t",
        "SWARM_TASK_IP": "127.64.0.9",
    }


def test_the_hostname_of_a_service_is_a_template() -> None:
    variables = environment(assigned(Hostname="{{.Service.Name}}-{{.Task.Slot}}"), "/t", "", "")
    assert variables["HOSTNAME"] == "web-2"


def test_entrypoint_and_arguments_make_the_command() -> None:
    assert command_line(assigned(Command=["sh", "-c"], Args=["true"])) == ["sh", "-c", "true"]
    assert command_line(assigned(Args=["sleep", "1"])) == ["sleep", "1"]


@pytest.mark.parametrize("container", [{}, {"Command": []}, {"Command": [""]}])
def test_without_a_command_the_error_says_what_is_needed(container: dict[str, Any]) -> None:
    with pytest.raises(SwarmctlError, match=r"no command: the process runtime pulls no image \(app:1\)"):
        command_line(assigned(**container))


@pytest.mark.parametrize(("target", "expected"), [("a", "a"), ("/etc/app.conf", "etc/app.conf"), ("./x//y", "x/y")])
def test_targets_lie_under_the_tasks_folder(target: str, expected: str) -> None:
    assert inside(Path("/data/t"), target) == Path("/data/t") / expected


@pytest.mark.parametrize("target", ["..", "../x", "/a/../../x", "a/..", "", "/", ".", "a\0b"])
def test_targets_never_leave_the_tasks_folder(target: str) -> None:
    with pytest.raises(SwarmctlError, match="leaves the task's folder"):
        inside(Path("/data/t"), target)


def test_live_tasks_never_share_an_address() -> None:
    addresses = LoopbackAddresses("seed")
    taken = [addresses.take() for _ in range(2000)]
    assert len(set(taken)) == 2000
    addresses.give_back(taken[0])
    assert addresses.take() not in taken
    assert all(ip_address(address) in LOOPBACK_POOL for address in taken)


def test_a_data_folder_whose_name_is_no_text_has_addresses_too() -> None:
    assert ip_address(LoopbackAddresses("\udcff").take()) in LOOPBACK_POOL
