"""The mode of a service, by the Engine API's own word."""

from __future__ import annotations

from reconciler.model.json import JsonMapping


def mode_of(spec: JsonMapping) -> str:
    """Return the key of a service's mode that is in use: Replicated, which it is by default, Global or a job's."""
    mode = spec.get("Mode") or {}
    return next((key for key, value in mode.items() if value is not None), "Replicated")


def is_job(spec: JsonMapping) -> bool:
    """Return whether a service's tasks run to their end, and are not started again."""
    return mode_of(spec).endswith("Job")
