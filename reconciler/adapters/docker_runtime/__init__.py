"""Runs tasks as containers of the node's own Docker Engine (or Podman's socket that speaks the same API).

Overlay networks are bridge networks of that engine. Secrets and configs are mounted from this host's memory.
"""

from reconciler.adapters.docker_runtime.engine import NodeEngine
from reconciler.adapters.docker_runtime.runtime import DockerRuntime

__all__ = ["DockerRuntime", "NodeEngine"]
