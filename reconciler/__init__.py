"""swarmctl: Docker Swarm mode, declared in Git."""

__version__ = "0.1.0"
