"""Placement pre-flight: which tasks of a plan no node could run, told before anything is written."""

from reconciler.planning.preflight.check import preflight, preflight_without_cluster
from reconciler.planning.preflight.stranding import stranded_by

__all__ = ["preflight", "preflight_without_cluster", "stranded_by"]
