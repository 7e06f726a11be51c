"""What tasks that are processes make of their log driver. The texts are those of an engine (20.10), as it told them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.adapters.process_runtime import Escapees, LoopbackAddresses, ProcessRuntime, RuntimeParts
from reconciler.adapters.process_runtime.environment import DEFAULT_SEARCH_PATH
from reconciler.adapters.process_runtime.log_driver import DEFAULT, NOTHING, Kept, check_options, kept_by
from reconciler.adapters.process_runtime.output import OutputLog, last_lines, remove_output
from reconciler.model.assignments import Assignment
from reconciler.model.errors import SwarmctlError
from reconciler.model.tasks import TaskState

MIB = 1024 * 1024
AT_START = "starting container failed: failed to initialize logging driver: "


def task(text: str, name: str = "", **options: str) -> Assignment:
    """Return a task that runs a shell's `text`; an option's name has "_" for "-"."""
    spec = {"ContainerSpec": {"Image": "none:1", "Command": ["sh", "-c", text]}}
    driver = {"Name": name, "Options": {key.replace("_", "-"): value for key, value in options.items()}}
    return Assignment("t1", "s1", "web", {}, 1, "n1", "node1", TaskState.RUNNING, {**spec, "LogDriver": driver})


def a_runtime(folder: Path) -> ProcessRuntime:
    return ProcessRuntime(folder, RuntimeParts(LoopbackAddresses(str(folder)), Escapees(), DEFAULT_SEARCH_PATH))


def told(error: pytest.ExceptionInfo[SwarmctlError]) -> str:
    return error.value.problems[0].what


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("nosuch", {}, "logger: no log driver named 'nosuch' is registered"),
        ("syslog", {}, "logger: no log driver named 'syslog' is registered"),
        ("json-file", {"a": "b"}, "unknown log opt 'a' for json-file log driver"),
        ("local", {"a": "b"}, "unknown log opt 'a' for log driver local"),
        ("local", {"tag": "x"}, "unknown log opt 'tag' for log driver local"),
        ("local", {"labels": "x"}, "unknown log opt 'labels' for log driver local"),
        ("json-file", {"mode": "foo"}, "logger: logging mode not supported: foo"),
        (
            "json-file",
            {"max_buffer_size": "1m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "json-file",
            {"mode": "non-blocking", "max_buffer_size": "zz"},
            "error parsing option max-buffer-size: invalid size: 'zz'",
        ),
    ],
)
def test_what_is_refused_before_a_task_is_made(name: str, options: dict[str, str], text: str) -> None:
    with pytest.raises(SwarmctlError) as error:
        check_options(task("true", name, **options))
    assert told(error) == text


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("json-file", {"max_size": "xx"}, "invalid size: 'xx'"),
        ("json-file", {"max_size": ""}, "invalid size: ''"),
        ("json-file", {"max_size": "-1"}, "invalid size: '-1'"),
        ("json-file", {"max_size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max_size": "1m", "max_file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max_file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ("json-file", {"max_file": "9" * 20}, f'strconv.Atoi: parsing "{"9" * 20}": value out of range'),
        ("json-file", {"compress": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        (
            "json-file",
            {"compress": "true"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        ("local", {"max_size": "-1"}, "invalid value for max-size: -1: invalid size: '-1'"),
        ("local", {"max_file": "x"}, 'invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'),
        ("local", {"max_file": "0"}, "compression cannot be enabled when max file count is 1"),
        ("local", {"max_file": "-1"}, "max file count cannot be less than 0"),
        (
            "local",
            {"compress": "maybe"},
            'error reading compress log option: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
async def test_what_fails_when_a_task_is_started(tmp_path: Path, name: str, options: dict[str, str], text: str) -> None:
    runtime, wrong = a_runtime(tmp_path), task("true", name, **options)
    await runtime.recover([], [])
    await runtime.prepare(wrong)
    with pytest.raises(SwarmctlError) as error:
        await runtime.start(wrong)
    assert told(error) == AT_START + text
    await runtime.forget("t1")
    assert os.listdir(tmp_path / "output") == os.listdir(tmp_path / "tasks") == []


@pytest.mark.parametrize(
    ("name", "options", "kept"),
    [
        ("", {}, DEFAULT),
        ("", {"max_size": "zz", "foo": "1"}, DEFAULT),  # options of no driver
        ("json-file", {}, DEFAULT),
        ("json-file", {"max_file": "3"}, DEFAULT),
        ("json-file", {"max_size": "10m"}, Kept(1, 10_000_000)),
        ("json-file", {"max_size": "1.5k", "max_file": "4", "compress": "true"}, Kept(4, 1500)),
        ("json-file", {"max_size": "1 MiB", "labels": "a", "env_regex": "b", "tag": "c"}, Kept(1, 1_000_000)),
        ("json-file", {"mode": "non-blocking", "max_buffer_size": "4m", "cache_disabled": "true"}, DEFAULT),
        ("local", {}, Kept(5, 20 * MIB)),
        ("local", {"max_size": "10m", "max_file": "3"}, Kept(3, 10 * MIB)),
        ("local", {"max_size": "0", "max_file": "1", "compress": "false"}, Kept(1, 20 * MIB)),
        ("none", {"mode": "foo", "a": "b"}, NOTHING),
    ],
)
def test_how_much_is_kept(name: str, options: dict[str, str], kept: Kept) -> None:
    asked = task("true", name, **options)
    check_options(asked)
    assert kept_by(asked) == kept


async def test_without_a_log_nothing_is_read_and_nothing_kept(tmp_path: Path) -> None:
    runtime, mute = a_runtime(tmp_path), task("exec 3>&1; readlink /proc/$$/fd/[23] >seen; echo unheard", "none")
    await runtime.recover([], [])
    await runtime.prepare(mute)
    await runtime.start(mute)
    runtime.annotate("t1", "a line of the swarm's own")
    assert await runtime.wait("t1") == 0
    assert (tmp_path / "tasks/t1/seen").read_text() == "/dev/null\n/dev/null\n"
    assert await runtime.output("t1", 100) == ()
    assert os.listdir(tmp_path / "output") == []


@pytest.mark.parametrize(("files", "most"), [("1", 1), ("3", 3)])
async def test_full_files_give_way_to_new_ones_and_no_more_is_kept_than_asked_for(
    tmp_path: Path, files: str, most: int
) -> None:
    script = "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; done"
    runtime, talks = a_runtime(tmp_path), task(script, "json-file", max_size="2k", max_file=files)
    await runtime.recover([], [])
    await runtime.prepare(talks)
    await runtime.start(talks)
    assert await runtime.wait("t1") == 0
    kept = sorted((tmp_path / "output").iterdir())
    assert [path.name for path in kept] == ["t1.log", "t1.log.1", "t1.log.2"][:most]
    assert all(0 < path.stat().st_size <= 2000 for path in kept)
    numbers = [int(line.words.split()[1]) for line in await runtime.output("t1", 600)]
    assert numbers == list(range(601 - len(numbers), 601))
    assert len(numbers) > (most - 1) * 50
    assert [line.words for line in await runtime.output("t1", 1)] == ["line 600"]
    await runtime.forget("t1")
    assert os.listdir(tmp_path / "output") == []


async def test_a_line_longer_than_a_file_has_one_to_itself(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "t1.log", tmp_path / "t1.pipe", Kept(2, 100))
    for line in ("short", "x" * 300, "last"):
        log.add_line(line)
    log.let_go()
    assert [line.words for line in last_lines(tmp_path / "t1.log", 10)] == ["x" * 300, "last"]


async def test_a_rotation_that_a_crash_left_half_done_is_made_good_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "t1.log"
    for name, line in (("t1.log", "1 3 third\n"), ("t1.log.2", "1 2 second\n"), ("t1.log.3", "1 1 first\n")):
        (tmp_path / name).write_text(line)  # ended after the first of two had been given its new name
    assert [line.words for line in last_lines(path, 10)] == ["first", "second", "third"]
    log = OutputLog(path, tmp_path / "t1.pipe", Kept(4, 10))
    log.add_line("fourth")
    log.let_go()
    assert [line.words for line in last_lines(path, 10)] == ["first", "second", "third", "fourth"]
    assert sorted(os.listdir(tmp_path)) == ["t1.log", "t1.log.1", "t1.log.2", "t1.log.3"]
    (tmp_path / "t1.log.1").unlink()
    remove_output(path)
    assert os.listdir(tmp_path) == []


async def test_a_task_whose_driver_was_once_of_no_account_runs_on(tmp_path: Path) -> None:
    """An older daemon has started it, whatever its driver: what it goes on printing is kept."""
    first, plain = a_runtime(tmp_path), task("echo begun; sleep 1000")
    await first.recover([], [])
    await first.prepare(plain)
    started = await first.start(plain)
    async with asyncio.timeout(60):
        while not await first.output("t1", 1):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await first.let_go()
    second, asked = a_runtime(tmp_path), task("", "syslog").spec["LogDriver"]
    await second.recover(["t1"], [])
    assert await second.adopt(replace(plain, spec={**plain.spec, "LogDriver": asked})) == started
    second.annotate("t1", "more")
    assert [line.words for line in await second.output("t1", 10)] == ["begun", "more"]
    await second.forget("t1")
