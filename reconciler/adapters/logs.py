"""Structured logs: one JSON object or one readable line for each event, on standard error.

Fields are names, counts and codes. Whatever else a library's log says goes through the same door, without tracebacks:
those quote values.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

FIELD_CHARS_MAX = 2000
"""Characters of one field. A hostile name must not fill a disk by one line."""


def configure(*, as_json: bool, level: str = "info", stream: TextIO | None = None) -> None:
    """Let all logs of this process go to `stream` (standard error by default). Call it once, at the start."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_traceback,
        _bounded,
    ]
    # logfmt and not the console's renderer, which takes a field named `stack` for a traceback.
    words = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    render: Processor = structlog.processors.JSONRenderer() if as_json else words
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _without_traceback(_: Any, __: str, event: EventDict) -> EventDict:
    """Tell an exception by its kind: its text and its frames may quote a secret."""
    error = event.pop("exc_info", None)
    record = event.get("_record")
    if not error and isinstance(record, logging.LogRecord):
        error = record.exc_info
        record.exc_info, record.exc_text = None, None
    event.pop("stack_info", None)
    if error is True:
        error = sys.exc_info()
    kind = error[0] if isinstance(error, tuple) else type(error) if isinstance(error, BaseException) else None
    if kind is not None:
        event["error"] = kind.__name__
    return event


def _bounded(_: Any, __: str, event: EventDict) -> EventDict:
    return {
        name: _cut(value) if isinstance(value, str) and not name.startswith("_") else value
        for name, value in event.items()
    }


def _cut(text: str) -> str:
    shown = "".join(char if char.isprintable() else " " for char in text[:FIELD_CHARS_MAX])
    return shown if len(text) <= FIELD_CHARS_MAX else f"{shown}…"
