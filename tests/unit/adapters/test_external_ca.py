"""Asking an external CA over HTTPS: what is sent, whom it is sent to, and what is made of its answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from reconciler.adapters.swarm_ca import (
    NodeCertificate,
    issue,
    make_root,
    names_it,
    new_tls_key,
    was_issued_by,
)
from reconciler.adapters.swarm_ca import external as client
from reconciler.adapters.swarm_ca.external import Introduction, ask, signing_request, why_unreachable
from reconciler.model.errors import SwarmctlError
from reconciler.model.objects import NodeRole
from tests.fakes.authority import ExternalAuthority, an_external_authority

NOW = datetime.now(UTC)
ROOT, OTHER = make_root(NOW), make_root(NOW)
KEY = new_tls_key()
WANTED = NodeCertificate("node1", "cluster1", NodeRole.MANAGER)
FIRST = issue(ROOT, WANTED, KEY, NOW)
SHOWN = Introduction(ROOT.certificate, FIRST, KEY)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[ExternalAuthority]:
    with an_external_authority(ROOT, tmp_path) as one:
        yield one


@pytest.fixture
def quiet() -> Iterator[str]:
    """An address where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"


async def refusal(urls: list[str], shown: Introduction = SHOWN) -> str:
    with pytest.raises(SwarmctlError) as raised:
        await ask(urls, signing_request(KEY, WANTED), shown)
    return raised.value.problems[0].why


async def test_what_is_asked_for_is_signed_for_this_key_and_these_names(authority: ExternalAuthority) -> None:
    made = await ask([authority.url], signing_request(KEY, WANTED), SHOWN)
    assert was_issued_by(ROOT, made, KEY, NOW)
    assert names_it(made, WANTED)
    assert not names_it(made, NodeCertificate("node2", "cluster1", NodeRole.MANAGER))
    assert not names_it(made, NodeCertificate("node1", "cluster1", NodeRole.WORKER))
    ((peer, request),) = authority.asked
    assert peer == "node1"  # it has seen the certificate in force
    assert request["hosts"] == ["swarm-manager", "node1", "swarm-ca"]
    assert request["subject"] == {
        "CN": "node1",
        "names": [{"O": "cluster1", "OU": "swarm-manager"}],
        "SerialNumber": "",
    }
    asked = x509.load_pem_x509_csr(request["certificate_request"].encode())
    assert asked.public_key() == x509.load_pem_x509_certificate(FIRST.encode()).public_key()


async def test_who_has_no_certificate_yet_or_one_of_another_key_shows_none(authority: ExternalAuthority) -> None:
    for certificate in ("", issue(ROOT, WANTED, new_tls_key(), NOW)):
        await ask([authority.url], signing_request(KEY, WANTED), Introduction(ROOT.certificate, certificate, KEY))
    assert [peer for peer, _ in authority.asked] == ["", ""]


async def test_the_first_one_that_signs_is_enough(authority: ExternalAuthority) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = f"https://127.0.0.1:{nobody.getsockname()[1]}/"
        assert await ask([gone, authority.url, gone], signing_request(KEY, WANTED), SHOWN)
        assert "unable to perform certificate signing request" in await refusal([gone])
    assert "no external CA URLs" in await refusal([])


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (503, b"later", "unexpected status code in CSR response: 503 - later"),
        (307, b"", "unexpected status code in CSR response: 307"),
        (200, b"<html>", "unable to parse JSON response: <html>"),
        (200, b"[]", "certificate signing request failed: []"),
        (200, b'{"success": false, "errors": [{"message": "policy"}]}', "policy"),
        (200, b'{"success": true, "result": {"certificate": 7}}', "certificate signing request failed"),
        (200, b'{"success": true, "result": "x"}', "certificate signing request failed"),
        (200, b"\xff" * ((1 << 20) + 1), "its answer is longer than"),
    ],
)
async def test_an_answer_that_is_no_certificate_is_told(
    authority: ExternalAuthority, status: int, body: bytes, told: str
) -> None:
    authority.answer = (status, body)
    why = await refusal([authority.url])
    assert authority.url in why
    assert told in why
    assert len(why) < 500


async def test_who_is_not_of_the_root_is_sent_nothing(authority: ExternalAuthority) -> None:
    stranger = Introduction(OTHER.certificate, FIRST, KEY)
    assert "certificate verify failed" in await refusal([authority.url], stranger)
    assert "certificate verify failed" in await why_unreachable(authority.url, stranger)
    named = authority.url.replace("127.0.0.1", "localhost")  # its certificate is for the address
    assert "certificate" in await why_unreachable(named, SHOWN)
    assert authority.asked == []
    assert await why_unreachable(authority.url, SHOWN) == ""


async def test_who_says_nothing_is_given_up(quiet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DIAL_S", 0.1)
    monkeypatch.setattr(client, "ANSWER_S", 0.1)
    assert "no answer within" in await why_unreachable(quiet, SHOWN)
    assert "no answer within" in await refusal([quiet])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1/", "invalid HTTP scheme"),
        ("", "invalid HTTP scheme"),
        ("https://127.0.0.1:x/", "Port could not be cast"),
        ("https://[::1/", "Invalid IPv6 URL"),
    ],
)
async def test_an_address_that_is_none_is_unreachable(url: str, told: str) -> None:
    assert told in await why_unreachable(url, SHOWN)


async def test_a_root_that_is_none_is_an_error_of_ours() -> None:
    with pytest.raises(SwarmctlError, match="No external CA"):
        Introduction("nonsense", "", KEY).context()
