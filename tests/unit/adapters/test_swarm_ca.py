"""Roots that are given to the swarm, in a manager's words, and the certificates that its own root gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from reconciler.adapters.swarm_ca import (
    NodeCertificate,
    Root,
    given_root,
    issue,
    make_root,
    new_tls_key,
    renewal_at,
    was_issued_by,
)
from reconciler.model.errors import SwarmctlError
from reconciler.model.objects import NodeRole

NOW = datetime(2026, 11, 21, tzinfo=UTC)
INVALID = "rpc error: code = InvalidArgument desc = "
MADE = make_root(NOW)
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def a_root(key: Any, *, days: int = 3650, ca: bool = True) -> Root:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mine")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = builder.public_key(key.public_key()).sign(key, digest)
    private = key.private_bytes(PEM, PKCS8, serialization.NoEncryption())
    return Root(signed.public_bytes(PEM).decode(), private.decode())


GOOD, OTHER = a_root(ec.generate_private_key(ec.SECP384R1())), a_root(ec.generate_private_key(ec.SECP256R1()))
PARSE_CERTIFICATE = '{"code":1003,"message":"Failed to parse certificate"}'
PARSE_KEY = '{"code":2003,"message":"Failed to parse private key"}'


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("", GOOD.key, INVALID + "if a signing CA key is provided, the signing CA cert must also be provided"),
        (GOOD.key, GOOD.key, INVALID + f"invalid root certificates: {PARSE_CERTIFICATE}"),
        ("nonsense", GOOD.key, INVALID + f"invalid root certificates: {PARSE_CERTIFICATE}"),
        (GOOD.certificate, "nonsense", INVALID + f"malformed private key: {PARSE_KEY}"),
        (GOOD.certificate, OTHER.key, INVALID + "certificate key mismatch"),
        (
            GOOD.certificate + OTHER.certificate,
            GOOD.key,
            INVALID + "the desired CA certificate cannot contain multiple certificates",
        ),
    ],
)
def test_what_is_no_root_is_refused(certificate: str, key: str, text: str) -> None:
    with pytest.raises(SwarmctlError) as refused:
        given_root(certificate, key, NOW)
    assert refused.value.problems[0].why == text


@pytest.mark.parametrize(
    ("root", "text"),
    [
        (a_root(rsa.generate_private_key(65537, 1024)), INVALID + "unsupported RSA key parameters"),
        (a_root(ec.generate_private_key(ec.SECP256K1())), INVALID + "unsupported ECDSA key parameters"),
        (a_root(ed25519.Ed25519PrivateKey.generate()), INVALID + "unsupported key algorithm"),
        (a_root(ec.generate_private_key(ec.SECP256R1()), days=364), INVALID + "CA certificate expires too soon"),
        (
            a_root(ec.generate_private_key(ec.SECP256R1()), ca=False),
            "rpc error: code = Internal desc = unable to generate a cross-signed certificate for root rotation",
        ),
    ],
)
def test_a_root_that_is_too_weak_is_refused(root: Root, text: str) -> None:
    with pytest.raises(SwarmctlError) as refused:
        given_root(root.certificate, root.key, NOW)
    assert refused.value.problems[0].why == text


@pytest.mark.parametrize("given", [GOOD, OTHER, a_root(rsa.generate_private_key(65537, 2048)), MADE])
def test_a_good_root_is_taken_and_signs(given: Root) -> None:
    root = given_root(given.certificate, given.key, NOW)
    assert root.certificate == given.certificate
    key = new_tls_key()
    leaf = issue(root, NodeCertificate("n", "c", NodeRole.MANAGER), key, NOW)
    assert was_issued_by(root, leaf, key, NOW)


def test_a_certificate_says_who_may_use_it_and_until_when() -> None:
    key = new_tls_key()
    leaf = issue(MADE, NodeCertificate("n", "c", NodeRole.WORKER, timedelta(hours=10)), key, NOW)
    parsed = x509.load_pem_x509_certificate(leaf.encode())
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["swarm-worker", "n"]
    assert parsed.not_valid_after_utc == NOW + timedelta(hours=10)
    assert not was_issued_by(GOOD, leaf, key, NOW)
    assert not was_issued_by(MADE, leaf, new_tls_key(), NOW)
    assert not was_issued_by(MADE, leaf, key, NOW + timedelta(hours=10))
    assert not was_issued_by(MADE, "nonsense", key, NOW)
    # Valid from an hour before: 11 hours, of which half and four fifths.
    assert renewal_at(leaf, 0.0) == NOW + timedelta(hours=4.5)
    assert renewal_at(leaf, 1.0) == NOW + timedelta(hours=7.8)
