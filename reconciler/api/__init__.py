"""HTTP: the Docker Engine API of the embedded swarm. Translates and answers; decides nothing."""

from reconciler.api.server import Server, serve, serve_node

__all__ = ["Server", "serve", "serve_node"]
