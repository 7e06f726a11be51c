"""Why the process runtime can't run a task."""

from __future__ import annotations

from reconciler.model.errors import ErrorCode, SwarmctlError


def cannot_run(what: str) -> SwarmctlError:
    """Return the error whose `what` becomes the task's Err. It must hold no value of a variable or secret."""
    return SwarmctlError(ErrorCode.EMBEDDED_FAILED, what)
