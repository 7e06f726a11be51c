"""TLS 1.3 with certificates on both sides: contexts from this node's files, who the peer is, why a handshake failed."""

from __future__ import annotations

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.adapters.peers.identity import Identity
from reconciler.adapters.peers.names import named_by
from reconciler.adapters.raft.transport.refusals import Refusal
from reconciler.model.errors import ErrorCode, SwarmctlError

_log = logging.getLogger("reconciler.adapters.raft.transport")

PROTOCOL = "swarmctl-raft/1"
"""What both sides must name in ALPN; the number grows when older ones can't read the frames any more."""

WARN_BEFORE = timedelta(days=30)
"""Time before its end from which on a certificate is warned of: a third of its life."""
WARN_EVERY = timedelta(days=1)

_EXPIRED, _NOT_YET_VALID = 10, 9  # X509_V_ERR_*, <openssl/x509_vfy.h>
_UNKNOWN_CA = frozenset({2, 7, 18, 19, 20, 21})
_ALERTS = {
    "UNKNOWN_CA": (ErrorCode.PEERS_WRONG_CA, "it does not know the authority that signed our certificate"),
    "CERTIFICATE_EXPIRED": (ErrorCode.PEERS_EXPIRED, "our certificate has expired, by its clock"),
    "CERTIFICATE_REQUIRED": (ErrorCode.PEERS_NO_CERTIFICATE, "we showed no certificate"),
    "BAD_CERTIFICATE": (ErrorCode.PEERS_WRONG_CA, "our certificate is not valid for it, or not yet, by its clock"),
    "DECRYPT_ERROR": (ErrorCode.PEERS_WRONG_CA, "another authority of the same name signed our certificate"),
}


class Contexts:
    """The TLS contexts for both directions. Files that have changed count for connections made from then on."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._expires = identity.expires
        self._warned = datetime.min.replace(tzinfo=UTC)
        self._seen = self._told = self._stamp()
        self.server, self.client = _contexts(identity)

    def warn_of_end(self, now: datetime) -> None:
        """Log once a day that the certificate ends soon. `now` is aware UTC."""
        if self._expires - now < WARN_BEFORE and now - self._warned >= WARN_EVERY:
            self._warned = now
            _log.warning(
                "The certificate of %s ends on %s: make a new one with `swarmctl peers renew`, or no connection with "
                "the other managers is possible from then on [%s]",
                self._identity.node,
                f"{self._expires:%Y-%m-%d %H:%M} UTC",
                ErrorCode.PEERS_EXPIRED.value,
            )

    def reload(self) -> bool:
        """Return whether new files were taken over. Files that make no sense are logged, and the old ones kept.

        Those are tried again: a mode or a clock that was wrong may have been put right since, which no file shows.
        """
        seen = self._stamp()
        if seen == self._seen:
            return False
        try:
            expires = self._identity.check_again()
            self.server, self.client = _contexts(self._identity)
        except SwarmctlError as error:
            problem = error.problems[0]
            if seen != self._told:
                _log.error("Changed certificate not taken over [%s]: %s %s", problem.code, problem.what, problem.why)
            self._told = seen
            return False
        self._seen, self._told, self._expires = seen, seen, expires
        _log.info("Changed certificate taken over; it counts for connections from now on")
        return True

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for path in (self._identity.authority_file, self._identity.node_file):
            try:
                status = os.stat(path)
            except OSError:
                return ()
            stamps.append((status.st_ino, status.st_mtime_ns))
        return tuple(stamps)


def _contexts(identity: Identity) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.num_tickets = 0  # a resumed session would skip the look at the certificate
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # who answers is proven by the member's name in its certificate, wherever it runs
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
        context.set_alpn_protocols([PROTOCOL])
        try:
            context.load_verify_locations(identity.authority_file)
            context.load_cert_chain(identity.node_file)
        except (OSError, ssl.SSLError) as error:  # changed between the check and here
            raise SwarmctlError(
                ErrorCode.PEERS_UNREADABLE,
                f"{identity.node_file} can't be used.",
                why=f"{error.strerror or error}.",
                hint="Put the node's files there again, all of them.",
            ) from error
    return server, client


def peer_of(tls: ssl.SSLObject, cluster: str) -> str | Refusal:
    """The node that the peer's certificate, which has been verified, names; a Refusal if it names none of ours."""
    if tls.selected_alpn_protocol() != PROTOCOL:
        return Refusal(ErrorCode.PEERS_PROTOCOL, f"it does not speak {PROTOCOL}")
    certificate: dict[str, Any] = dict(tls.getpeercert() or {})
    names = [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    node = named_by(names, cluster)
    if node is None:
        return Refusal(ErrorCode.PEERS_WRONG_NAME, f"its certificate names no node of this cluster: {names!r}")
    return node


def refusal_of(error: ssl.SSLError) -> Refusal:
    """Why a handshake, or the first reading after it, failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error)
    reason = error.reason or ""
    for alert, (code, why) in _ALERTS.items():
        if reason.endswith(f"ALERT_{alert}"):
            return Refusal(code, why, theirs=True)
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return Refusal(ErrorCode.PEERS_NO_CERTIFICATE, "it showed no certificate")
    if "ALERT" in reason:
        return Refusal(ErrorCode.PEERS_PROTOCOL, f"its TLS gave up: {reason}", theirs=True)
    return Refusal(ErrorCode.PEERS_PROTOCOL, f"what it sends is not TLS 1.3: {reason or type(error).__name__}")


def _unverified(error: ssl.SSLCertVerificationError) -> Refusal:
    if error.verify_code == _EXPIRED:
        return Refusal(ErrorCode.PEERS_EXPIRED, "its certificate has expired, by our clock")
    if error.verify_code == _NOT_YET_VALID:
        return Refusal(ErrorCode.PEERS_NOT_YET_VALID, "its certificate is not valid yet, by our clock")
    if error.verify_code in _UNKNOWN_CA:
        return Refusal(ErrorCode.PEERS_WRONG_CA, "another authority signed its certificate")
    return Refusal(ErrorCode.PEERS_WRONG_CA, f"its certificate is not valid: {error.verify_message}")
