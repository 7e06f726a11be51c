"""What tasks print."""

from __future__ import annotations

import msgspec

STDOUT, STDERR = 1, 2


class LogLine(msgspec.Struct, frozen=True):
    """One line as a task has printed it, without its end. `at_ns` are nanoseconds since the epoch, and grow from line
    to line of one task; `stream` is STDOUT or STDERR. `details` are what the log's driver was told to keep of the
    task's labels and variables, as an engine writes them: "key=value,key=value", each escaped as in a URL's query."""

    stream: int
    at_ns: int
    text: bytes
    details: str = ""

    @property
    def words(self) -> str:
        """The line as text; what is no UTF-8 is replaced."""
        return self.text.decode("utf-8", "replace").rstrip("\r")
