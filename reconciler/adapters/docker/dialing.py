"""Connections to an engine: to a unix socket, over TCP with TLS or without, and through the `ssh` program.

Each is the standard library's HTTP connection, on another socket.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from urllib.parse import unquote

from reconciler.adapters.docker.contexts import TlsFiles
from reconciler.adapters.docker.endpoints import Endpoint


class SshFailed(http.client.HTTPException):
    """The ssh program could not reach an engine; the text is what it printed."""


class TlsIncomplete(OSError):
    """Of a client's certificate and its key, one is missing."""


def dialer(endpoint: Endpoint, connect_timeout_s: float) -> Callable[[], http.client.HTTPConnection]:
    """Return what makes new connections, which connect when they are first used.

    Reads the TLS files once. Raises TlsIncomplete, or OSError (ssl.SSLError is one) for files that can't be used.
    """
    if endpoint.scheme == "unix":
        return lambda: UnixConnection(endpoint.path, connect_timeout_s)
    address = endpoint.parts
    if endpoint.scheme == "ssh":
        from reconciler.adapters.docker.ssh import SshConnection  # noqa: PLC0415 - few endpoints need it

        return lambda: SshConnection(address, connect_timeout_s)
    host, port = unquote(address.hostname or ""), address.port  # the zone of fe80::1%25eth0, say
    if endpoint.tls is None:
        return lambda: http.client.HTTPConnection(host, port, timeout=connect_timeout_s)
    context = tls_context(endpoint.tls)
    return lambda: http.client.HTTPSConnection(host, port, timeout=connect_timeout_s, context=context)


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Return how to trust a server, and how to be trusted by it, as the docker CLI does with the same files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # as Go, which looks at subjectAltName alone
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif files.ca:
        context.load_verify_locations(files.ca)
    else:
        context.load_default_certs()
    if files.certificate and files.key:
        context.load_cert_chain(files.certificate, files.key, password="")  # a terminal must not be asked for one
    elif files.certificate or files.key:
        raise TlsIncomplete("there is a key without its certificate" if files.key else "the certificate has no key")
    return context


class UnixConnection(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(self.timeout)
        try:
            opened.connect(self._path)
        except BaseException:
            opened.close()
            raise
        self.sock = opened
