"""The controller's own HTTP API: status, history and events to read, sync, suspend, resume and rollback to ask for."""

from reconciler.controller_api.access import Access, Role, Token
from reconciler.controller_api.server import ListenSettings, serve

__all__ = ["Access", "ListenSettings", "Role", "Token", "serve"]
