"""A root certificate and its key that somebody gives to the swarm: `docker swarm ca --rotate --ca-cert --ca-key`.

What is refused, in which order, and in which words is a Docker Swarm manager's own. (seen on an engine, 20.10)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.adapters.swarm_ca.root import Root
from reconciler.model.errors import ErrorCode, SwarmctlError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

RSA_BITS_MIN = 2048
VALID_MIN = timedelta(days=365)
CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})


def given_root(certificate: str, key: str, now: datetime) -> Root:
    """Return a root; without a key it is one that an external CA signs for.

    Raises SwarmctlError (request-refused, embedded-failed) with the manager's text.
    """
    if not certificate:
        raise _refused("if a signing CA key is provided, the signing CA cert must also be provided")
    from reconciler.adapters import signing  # noqa: PLC0415

    certificates = _certificates(certificate)
    parsed, private = certificates[0], _key(key) if key else None
    _check_strength(parsed.public_key())
    if private is not None and private.public_key() != parsed.public_key():
        raise _refused("certificate key mismatch")
    if len(certificates) > 1:
        raise _refused("the desired CA certificate cannot contain multiple certificates")
    if parsed.not_valid_after_utc < now + VALID_MIN:
        raise _refused("CA certificate expires too soon")
    if not _may_sign(parsed):
        why = "rpc error: code = Internal desc = unable to generate a cross-signed certificate for root rotation"
        raise SwarmctlError(ErrorCode.EMBEDDED_FAILED, "The swarm's root can't be replaced.", why=why)
    shown = signing.certificate_pem(parsed).decode()
    return Root(shown, "" if private is None else signing.key_pem(private).decode())


def _certificates(text: str) -> list[x509.Certificate]:
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        why = 'invalid root certificates: {"code":1003,"message":"Failed to parse certificate"}'
        raise _refused(why) from None


def _key(text: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        return serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refused('malformed private key: {"code":2003,"message":"Failed to parse private key"}') from None


def _check_strength(public: PublicKeyTypes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < RSA_BITS_MIN:
            raise _refused("unsupported RSA key parameters")
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name not in CURVES:
            raise _refused("unsupported ECDSA key parameters")
    else:
        raise _refused("unsupported key algorithm")


def _may_sign(certificate: x509.Certificate) -> bool:
    from cryptography import x509  # noqa: PLC0415

    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _refused(text: str) -> SwarmctlError:
    why = f"rpc error: code = InvalidArgument desc = {text}"
    return SwarmctlError(ErrorCode.REQUEST_REFUSED, "The swarm's root can't be replaced.", why=why)
