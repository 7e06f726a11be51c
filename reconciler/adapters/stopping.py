"""What every runtime is told when a task is to stop."""

from __future__ import annotations

from typing import Protocol


class StopPolicy(Protocol):
    """How to ask a task to end: a signal's name, and seconds until it is killed."""

    @property
    def signal(self) -> str: ...

    @property
    def grace_s(self) -> float: ...
