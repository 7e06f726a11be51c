"""What a sink answers is read up to a limit: requests would keep an endless answer in memory, and wait for a slow one.

Apprise calls `requests.post`, which takes no adapter, so the adapter's class is changed. On threads that are not a
sink's it does what it did before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import wraps
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError

from reconciler.adapters.notify.apart import THREAD_NAME

ANSWER_BYTES_MAX: Final = 256 * 1024
ANSWER_S: Final = 30.0
_MARK: Final = "_swarmctl_bounded"
_lock = threading.Lock()


class _Bounded:
    """A urllib3 response of which no more than the limits is read; everything else is the response's own."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        read, until = 0, time.monotonic() + ANSWER_S
        for part in self._raw.stream(amount, decode_content=decode_content):
            read += len(part)
            if read > ANSWER_BYTES_MAX or time.monotonic() > until:
                self._raw.close()
                raise ProtocolError("The answer is too large, or too slow.")
            yield part


def bound_answers() -> None:
    """Bound what sinks answer, from now on. Safe to call again."""
    with _lock:
        send = HTTPAdapter.send
        if getattr(send, _MARK, False):
            return

        @wraps(send)
        def bounded(adapter: HTTPAdapter, *given: Any, **options: Any) -> Any:
            response = send(adapter, *given, **options)
            if threading.current_thread().name.startswith(THREAD_NAME):
                response.raw = _Bounded(response.raw)
            return response

        setattr(bounded, _MARK, True)
        setattr(HTTPAdapter, "send", bounded)  # noqa: B010 - mypy would rather not have it assigned
