"""The `docker` backend: an existing Docker Swarm, driven through its Engine API."""

from reconciler.adapters.docker.cluster import DockerCluster, connect
from reconciler.adapters.docker.greeting import Greeting, answers

__all__ = ["DockerCluster", "Greeting", "answers", "connect"]
