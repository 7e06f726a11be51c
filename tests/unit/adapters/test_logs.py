"""Logs as they arrive on standard error."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from reconciler.adapters import logs


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def stream(restored: None) -> io.StringIO:
    made = io.StringIO()
    logs.configure(as_json=True, stream=made)
    return made


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(pass_id="p1")
    structlog.stdlib.get_logger("loop").info("pass decided", actions=0, outcome="idle")
    structlog.contextvars.clear_contextvars()
    [line] = lines(stream)
    assert (line["event"], line["actions"], line["pass_id"], line["logger"]) == ("pass decided", 0, "p1", "loop")
    assert str(line["timestamp"]).endswith("Z")
    assert line["level"] == "info"


def test_other_libraries_come_through_the_same_door(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.server").warning("%s was closed", "it")
    logging.getLogger("aiohttp.server").debug("not shown")
    [line] = lines(stream)
    assert (line["event"], line["level"]) == ("it was closed", "warning")


@pytest.mark.parametrize("logger", [structlog.stdlib.get_logger("ours"), logging.getLogger("theirs")])
def test_an_exception_is_told_by_its_kind_and_never_by_its_text(stream: io.StringIO, logger) -> None:
    try:
        raise ValueError("hunter2")
    except ValueError:
        logger.exception("it failed")
    [line] = lines(stream)
    assert (line["event"], line["error"]) == ("it failed", "ValueError")
    assert "hunter2" not in stream.getvalue()
    assert "Traceback" not in stream.getvalue()


def test_a_hostile_name_neither_forges_a_line_nor_fills_the_disk(restored: None) -> None:
    stream = io.StringIO()
    logs.configure(as_json=False, stream=stream)
    structlog.stdlib.get_logger("ours").info("deployed", stack="web\n2026 [info] all is well\x1b[31m" + "x" * 10_000)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue()) < logs.FIELD_CHARS_MAX + 300
