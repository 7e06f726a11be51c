"""The root certificate of a swarm, as Docker makes it: CN swarm-ca, P-256, 20 years. (facts: swarmkit 6)"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from reconciler.adapters.clock import RandomIds, base36
from reconciler.model.discreet import Discreet
from reconciler.model.json import JsonObject

ROOT_NAME = "swarm-ca"
ROOT_VALID = timedelta(days=20 * 365)
DIGEST_LENGTH = 50


class Root(Discreet, frozen=True):
    """Both as PEM text; the certificate ends with a newline, which counts for the digest in join tokens.

    The key is "" where an external CA has it.
    """

    UNSHOWN = frozenset({"key"})

    certificate: str
    key: str


def make_root(now: datetime) -> Root:
    """Return a new root. Takes tens of milliseconds the first time, for the import."""
    from reconciler.adapters import signing  # noqa: PLC0415 -- a daemon needs it once in its swarm's life

    key = signing.new_key()
    certificate = signing.self_signed_root(ROOT_NAME, key, now, ROOT_VALID, path_length=None)
    return Root(signing.certificate_pem(certificate).decode(), signing.key_pem(key).decode())


def tls_info(certificate: str) -> JsonObject:
    """Return a root certificate in the Engine API's shape: itself, its subject and its public key, both as DER."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    parsed = x509.load_pem_x509_certificate(certificate.encode())
    public = parsed.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "TrustRoot": certificate,
        "CertIssuerSubject": base64.b64encode(parsed.subject.public_bytes()).decode(),
        "CertIssuerPublicKey": base64.b64encode(public).decode(),
    }


class TrustedIds(RandomIds):
    """Ids of a swarm with a root certificate, by whose digest a join token lets the one who joins know it."""

    def __init__(self, certificate: Callable[[], str]) -> None:
        """`certificate` returns the root that counts now, as PEM."""
        self._certificate = certificate

    def new_join_token(self) -> str:
        """Return SWMTKN-1-DIGEST-SECRET."""
        return join_token(self._certificate())


def join_token(certificate: str) -> str:
    """Return a new join token of a swarm with this root certificate."""
    digest = int.from_bytes(hashlib.sha256(certificate.encode()).digest())
    return f"SWMTKN-1-{base36(digest, DIGEST_LENGTH)}-{RandomIds().new_secret()}"
