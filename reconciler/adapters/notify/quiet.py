"""Apprise, requests and urllib3 write addresses into their logs, and a sink's address is its secret.

So nothing of them reaches a log from a sink's thread. Only the status in a failure's text is taken out of it.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import Final

from reconciler.adapters.notify.apart import THREAD_NAME

_LIBRARIES: Final = ("requests", "urllib3", "urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")
_STATUS: Final = re.compile(r"\berror[=:]\s*(\d{3})\b")
_lock = threading.Lock()


class _NotOfSinks(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.threadName is None or not record.threadName.startswith(THREAD_NAME)


class _LastStatus(logging.Handler):
    """Keeps the HTTP status that a thread's newest failure names, and no word of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found:
            self._here.status = int(found[1])

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: the record may hold an address."""

    def take(self) -> int | None:
        status: int | None = getattr(self._here, "status", None)
        self._here.status = None
        return status


last_status: Final = _LastStatus()


def hush() -> None:
    """Keep the libraries' logs to ourselves. Safe to call again."""
    with _lock:
        apprise = logging.getLogger("apprise")
        apprise.propagate = False
        apprise.setLevel(logging.WARNING)
        if last_status not in apprise.handlers:
            apprise.handlers = [last_status]
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            if not any(isinstance(one, _NotOfSinks) for one in logger.filters):
                logger.addFilter(_NotOfSinks())
