"""Frames between managers over mutual TLS: the Transport of the replicated store."""

from reconciler.adapters.raft.transport.settings import TransportSettings
from reconciler.adapters.raft.transport.transport import TlsTransport

__all__ = ["TlsTransport", "TransportSettings"]
