"""An external authority that signs for the swarm: cfssl's protocol over HTTPS, as swarmkit speaks it.

The authority's own certificate has to be of the root that it signs for, and this node shows it the certificate that it
has. Source: swarmkit ca/external.go and manager/controlapi/ca_rotation.go. (facts: swarmkit 6)
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from reconciler.adapters.swarm_ca.leaf import NodeCertificate, host_names, loaded_key, unit_of
from reconciler.adapters.whole_answers import whole
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig

DIAL_S = 5.0
"""Seconds for an authority to take a connection and to show its certificate."""
ANSWER_S = 5.0
"""Seconds for one authority to sign."""
ANSWER_BYTES_MAX = 1 << 20
TOLD_CHARACTERS_MAX = 200
"""Of what an authority answers, in an error."""
HTTPS_PORT = 443


class Introduction(Discreet, frozen=True):
    """Whom this node trusts, and how it makes itself known: all as PEM, the certificate "" before it has one."""

    UNSHOWN = frozenset({"tls_key"})

    root: str
    certificate: str
    tls_key: str

    def context(self) -> ssl.SSLContext:
        """Return what a connection is made with. Raises SwarmctlError (embedded-failed) for a root that is none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=self.root)
        except (ssl.SSLError, ValueError) as error:
            raise _failed(f"its root certificate can't be used: {error}") from error
        if self.certificate:
            _show(context, self.certificate, self.tls_key)
        return context


def _show(context: ssl.SSLContext, certificate: str, tls_key: str) -> None:
    """Have connections show a certificate. OpenSSL reads the key from a file only: this one is in memory alone."""
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, f"{certificate.rstrip()}\n{tls_key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    except ssl.SSLError:
        return  # the key is not that of this certificate any more: then it proves nothing either
    finally:
        os.close(file)


def signing_request(tls_key: str, wanted: NodeCertificate) -> JsonObject:
    """Return what to ask an authority for: cfssl's SignRequest, with a request of this key in it as PEM."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = request.sign(loaded_key(tls_key), hashes.SHA256())
    return {
        "hosts": host_names(wanted),
        "certificate_request": signed.public_bytes(serialization.Encoding.PEM).decode(),
        "subject": {
            "CN": wanted.node_id,
            "names": [{"O": wanted.cluster_id, "OU": unit_of(wanted.role)}],
            "SerialNumber": "",
        },
        "profile": "",
        "crl_override": "",
        "label": "",
    }


async def why_unreachable(url: str, introduction: Introduction) -> str:
    """Return why nobody who is of the root takes a connection at `url`, "" if somebody does. Nothing is sent."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or HTTPS_PORT
    except ValueError as error:
        return str(error)
    if parts.scheme != "https":
        return "invalid HTTP scheme"
    try:
        async with asyncio.timeout(DIAL_S):
            _, writer = await asyncio.open_connection(host, port, ssl=introduction.context())
    except TimeoutError:
        return f"no answer within {DIAL_S:.0f} s"
    except OSError as error:
        return str(error)
    writer.close()
    return ""


async def ask(urls: Sequence[str], request: JsonObject, introduction: Introduction) -> str:
    """Return the certificate that the first authority gives which gives one, as PEM.

    Raises SwarmctlError (embedded-failed) with what the last one says, if none does.
    """
    last: SwarmctlError = _failed("no external CA URLs")
    connector = aiohttp.TCPConnector(ssl=introduction.context(), limit=1)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for url in urls:
            try:
                return _certificate_of(*await _posted(session, url, request))
            except SwarmctlError as error:
                last = error
            except TimeoutError:
                last = _failed(f"{url}: no answer within {ANSWER_S:.0f} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                last = _failed(f"{url}: unable to perform certificate signing request: {error}")
    raise last


async def _posted(session: aiohttp.ClientSession, url: str, request: JsonObject) -> tuple[str, int, bytes]:
    async with session.post(url, json=request, allow_redirects=False) as answer:
        content = await whole(answer, ANSWER_BYTES_MAX)
        if len(content) > ANSWER_BYTES_MAX:
            raise _failed(f"{url}: its answer is longer than {ANSWER_BYTES_MAX} bytes")
        return url, answer.status, content


def _certificate_of(url: str, status: int, content: bytes) -> str:
    """Return the certificate in cfssl's answer. Raises SwarmctlError (embedded-failed)."""
    text = content.decode(errors="replace")[:TOLD_CHARACTERS_MAX]
    if status != HTTPStatus.OK:
        raise _failed(f"{url}: unexpected status code in CSR response: {status} - {text}")
    try:
        answer: Any = json.loads(content)
    except ValueError as error:
        raise _failed(f"{url}: unable to parse JSON response: {text}") from error
    certificate = dig(answer, "result", "certificate")
    if dig(answer, "success") is not True or not isinstance(certificate, str):
        raise _failed(f"{url}: certificate signing request failed: {text}")
    return certificate


def _failed(why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.EMBEDDED_FAILED,
        "No external CA gives this node a certificate.",
        why=f"{why}.",
        hint="It is asked again; see `docker swarm ca --external-ca` for who is.",
    )
