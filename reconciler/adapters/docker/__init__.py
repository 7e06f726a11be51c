"""The `docker` backend: an existing Docker Swarm, driven through its Engine API."""

from reconciler.adapters.docker.cluster import DockerCluster, connect

__all__ = ["DockerCluster", "connect"]
