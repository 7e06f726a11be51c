"""Builds the embedded swarm from its parts: as a whole in one process, or one node of it as a daemon."""

from reconciler.assembly.swarm import EmbeddedSettings, EmbeddedSwarmHandle, start_embedded_swarm

__all__ = ["EmbeddedSettings", "EmbeddedSwarmHandle", "start_embedded_swarm"]
