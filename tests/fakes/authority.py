"""An external CA as a stand-in: cfssl's sign request over HTTPS, with a root that it has the key of."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.adapters.swarm_ca import Root

PEM = serialization.Encoding.PEM
NAMES = {
    "C": x509.NameOID.COUNTRY_NAME,
    "O": x509.NameOID.ORGANIZATION_NAME,
    "OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
}


@dataclass
class ExternalAuthority:
    """Signs with `signer`. `asked` are the requests that came, each with the name in the client's certificate, ""
    without one. What `answer` has is said instead: a status and a body."""

    signer: Root
    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    answer: tuple[int, bytes] | None = None
    valid: timedelta = timedelta(hours=48)
    context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def trust(self, certificate: str) -> None:
        """Take clients with certificates of another root as well."""
        self.context.load_verify_locations(cadata=certificate)

    def answered(self, peer: str, content: bytes) -> tuple[int, bytes]:
        """Return status and body for a request."""
        request = json.loads(content)
        self.asked.append((peer, request))
        if self.answer is not None:
            return self.answer
        result = {"certificate": self._signed(request)}
        return 200, json.dumps({"success": True, "result": result, "errors": [], "messages": []}).encode()

    def _signed(self, request: Any) -> str:
        """Return a certificate as cfssl makes it: the names are those asked for beside the request, not those in it."""
        asked = x509.load_pem_x509_csr(request["certificate_request"].encode())
        assert asked.is_signature_valid
        parts = [(NAMES[key], text) for name in request["subject"]["names"] for key, text in name.items()]
        parts.append((x509.NameOID.COMMON_NAME, request["subject"]["CN"]))
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in request["hosts"]])
        public: Any = asked.public_key()
        return _certificate(self.signer, subject, public, names, self.valid)


def _certificate(
    root: Root, subject: x509.Name, public: Any, names: x509.SubjectAlternativeName, valid: timedelta
) -> str:
    now = datetime.now(UTC)
    signing: Any = serialization.load_pem_private_key(root.key.encode(), None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.load_pem_x509_certificate(root.certificate.encode()).subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + valid)
        .add_extension(names, critical=False)
        .sign(signing, hashes.SHA256())
        .public_bytes(PEM)
        .decode()
    )


@contextmanager
def an_external_authority(root: Root, folder: Path) -> Iterator[ExternalAuthority]:
    """Serve one on 127.0.0.1, with a certificate of `root`, which it signs for too; its files go to `folder`."""
    authority = ExternalAuthority(root)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            connection: Any = self.connection
            parts = dict(part for name in (connection.getpeercert() or {}).get("subject", ()) for part in name)
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status, body = authority.answered(parts.get("commonName", ""), content)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a handshake that was only tried is no error here."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, address: None  # type: ignore[method-assign, assignment]
    _prepare(authority, folder)
    server.socket = authority.context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    authority.url = f"https://127.0.0.1:{server.server_port}/api/v1/cfssl/sign"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield authority
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _prepare(authority: ExternalAuthority, folder: Path) -> None:
    root, context = authority.signer, authority.context
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = _certificate(root, name, key.public_key(), names, timedelta(hours=1))
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "authority.pem"
    file.write_bytes(certificate.encode() + private)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.trust(root.certificate)
