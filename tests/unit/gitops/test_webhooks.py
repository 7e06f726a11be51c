"""Webhooks of each forge: good ones wake a source, all others are refused with nothing looked at."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.gitops.pushes import Moved, Push, concerned
from reconciler.gitops.webhooks import (
    BODY_BYTES_MAX,
    SEEN_MAX,
    SEEN_S,
    Deliveries,
    Forge,
    Passed,
    Receiver,
    Refused,
    WebhookRequest,
    receive,
)
from reconciler.model.errors import ErrorCode
from reconciler.model.sources import Reference, ReferenceKind, SourceSpec

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "s3cret-é"
COMMIT = "a" * 40

GITHUB = {
    "ref": "refs/heads/main",
    "after": COMMIT,
    "repository": {"full_name": "Org/Infra", "clone_url": "https://github.com/Org/Infra.git", "ssh_url": "x", "id": 1},
    "commits": [{"id": COMMIT, "message": "m"}],
}
GITLAB = {
    "object_kind": "push",
    "ref": "refs/heads/main",
    "after": COMMIT,
    "project": {"git_http_url": "https://gitlab.example.org/org/sub/infra.git", "path_with_namespace": "org/sub/infra"},
}
BITBUCKET = {
    "push": {"changes": [{"new": {"type": "branch", "name": "main", "target": {"hash": COMMIT}}, "old": None}]},
    "repository": {"full_name": "org/infra", "links": {"html": {"href": "https://bitbucket.org/org/infra"}}},
}
BITBUCKET_SERVER = {
    "repository": {
        "slug": "infra",
        "project": {"key": "ORG"},
        "links": {"clone": [{"href": "https://bb.example.org/scm/org/infra.git", "name": "http"}]},
    },
    "changes": [{"ref": {"id": "refs/heads/main"}, "toHash": COMMIT}],
}


def hmac_of(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def standard(body: bytes, at: datetime = NOW, key: bytes = SECRET.encode()) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    made = hmac.new(key, f"m1.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(b'other').decode()} v1,{base64.b64encode(made).decode()}"
    return {"webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": signature}


def headers_of(forge: Forge, body: bytes) -> dict[str, str]:
    return {
        Forge.GITHUB: {"x-github-event": "push", "x-hub-signature-256": f"sha256={hmac_of(body)}"},
        Forge.GITEA: {"x-gitea-event": "push", "x-github-event": "push", "x-gitea-signature": hmac_of(body)},
        Forge.GITLAB: {"x-gitlab-event": "Push Hook", "x-gitlab-token": SECRET},
        Forge.BITBUCKET: {"x-event-key": "repo:push", "x-hub-signature": f"sha256={hmac_of(body)}"},
        Forge.GENERIC: {"authorization": f"Bearer {SECRET}"},
    }[forge]


SIGNATURE_HEADER = {
    Forge.GITHUB: "x-hub-signature-256",
    Forge.GITEA: "x-gitea-signature",
    Forge.GITLAB: "x-gitlab-token",
    Forge.BITBUCKET: "x-hub-signature",
    Forge.GENERIC: "authorization",
}
BODIES = {
    Forge.GITHUB: GITHUB,
    Forge.GITEA: GITHUB,
    Forge.GITLAB: GITLAB,
    Forge.BITBUCKET: BITBUCKET,
    Forge.GENERIC: {"repository": "https://h/org/infra", "ref": "refs/heads/main", "commit": COMMIT},
}
ALL = [Receiver(forge, SECRET) for forge in Forge]


def ask(headers: dict[str, str], body: bytes, deliveries: Deliveries | None = None, now: datetime = NOW):
    return receive(WebhookRequest(headers, body), ALL, deliveries or Deliveries(), now)


def body_of(forge: Forge) -> bytes:
    return json.dumps(BODIES[forge]).encode()


@pytest.mark.parametrize("forge", Forge)
def test_a_push_tells_which_repository_and_reference_moved(forge):
    body = body_of(forge)
    answer, _ = ask(headers_of(forge, body), body)
    assert isinstance(answer, Push), answer
    assert answer.moved == (Moved("refs/heads/main", COMMIT),)
    assert any("infra" in one.lower() for one in answer.repositories)


@pytest.mark.parametrize("forge", Forge)
def test_without_with_a_wrong_with_another_forges_and_with_a_replayed_signature_it_is_refused(forge):
    body = body_of(forge)
    good = headers_of(forge, body)
    without = {name: value for name, value in good.items() if name != SIGNATURE_HEADER[forge]}
    wrong = good | {SIGNATURE_HEADER[forge]: good[SIGNATURE_HEADER[forge]][:-1] + "#"}
    empty = good | {SIGNATURE_HEADER[forge]: ""}
    long = good | {SIGNATURE_HEADER[forge]: "é" * 100_000}
    for headers in (without, wrong, empty, long):
        answer, seen = ask(headers, body)
        assert isinstance(answer, Refused)
        assert (answer.code, answer.status, seen.seen) == (ErrorCode.WEBHOOK_REFUSED, 401, {})
        assert SECRET not in repr(answer)
    _, seen = ask(good, body)
    again, _ = ask(good | {"x-github-delivery": "another-id"}, body, seen, NOW + timedelta(hours=1))
    if forge is Forge.GENERIC:
        # Anybody's body may be the same each time, and who has seen the token may send whatever they like.
        assert isinstance(again, Push)
        return
    assert isinstance(again, Refused)
    assert (again.code, again.status) == (ErrorCode.WEBHOOK_REPLAYED, 409)


@pytest.mark.parametrize("forge", [Forge.GITHUB, Forge.GITEA, Forge.BITBUCKET])
def test_a_signature_is_for_one_body(forge):
    body = body_of(forge)
    answer, _ = ask(headers_of(forge, body), body + b" ")
    assert isinstance(answer, Refused)


def test_a_receiver_without_a_secret_or_for_another_forge_takes_nothing():
    body = body_of(Forge.GITHUB)
    unsigned = {"x-github-event": "push", "x-hub-signature-256": f"sha256={hmac.new(b'', body, 'sha256').hexdigest()}"}
    for receivers in ([], [Receiver(Forge.GITHUB, "")], [Receiver(Forge.GITLAB, SECRET)]):
        request = WebhookRequest(unsigned | {"x-gitlab-token": SECRET}, body)
        assert isinstance(receive(request, receivers, Deliveries(), NOW)[0], Refused)


def test_a_body_beyond_the_limit_is_refused_before_anything_else():
    body = b" " * (BODY_BYTES_MAX + 1)
    answer, _ = ask(headers_of(Forge.GITHUB, body), body)
    assert isinstance(answer, Refused)
    assert answer.code is ErrorCode.WEBHOOK_TOO_LARGE


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b"\xff", b'{"ref": 1}', b"[" * 100_000, b'{"ref": "x", "repository": null}']
)
def test_a_body_that_is_no_push_is_told_without_repeating_it(body):
    answer, seen = ask(headers_of(Forge.GITHUB, body), body)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.status, seen.seen) == (ErrorCode.WEBHOOK_UNREADABLE, 400, {})


def test_a_ping_or_another_event_passes_and_wakes_nothing():
    body = b'{"zen": "x"}'
    for event in ("ping", "issue_comment"):
        headers = headers_of(Forge.GITHUB, body) | {"x-github-event": event}
        assert ask(headers, body)[0] == Passed(event)


def test_standard_webhooks_are_signed_over_their_time():
    body = body_of(Forge.GENERIC)
    assert isinstance(ask(standard(body), body)[0], Push)
    for late in (timedelta(minutes=6), timedelta(minutes=-6)):
        assert isinstance(ask(standard(body, NOW + late), body)[0], Refused)
    moved_on = standard(body) | {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}
    assert isinstance(ask(moved_on, body)[0], Refused)
    key = b"0123456789abcdef"
    receiver = [Receiver(Forge.GENERIC, "whsec_" + base64.b64encode(key).decode())]
    request = WebhookRequest(standard(body, key=key), body)
    assert isinstance(receive(request, receiver, Deliveries(), NOW)[0], Push)


def test_bitbucket_data_center_and_deleted_branches():
    body = json.dumps(BITBUCKET_SERVER).encode()
    headers = headers_of(Forge.BITBUCKET, body) | {"x-event-key": "repo:refs_changed"}
    answer, _ = ask(headers, body)
    assert isinstance(answer, Push)
    assert concerned(answer, [SourceSpec("infra", "ssh://git@bb.example.org:7999/org/infra.git")]) == ("infra",)
    gone = json.dumps(GITHUB | {"after": "0" * 40, "deleted": True}).encode()
    answer, _ = ask(headers_of(Forge.GITHUB, gone), gone)
    assert isinstance(answer, Push)
    assert answer.moved == (Moved("refs/heads/main", ""),)


def test_deliveries_are_forgotten_by_age_and_by_number():
    seen = Deliveries()
    for number in range(SEEN_MAX + 5):
        seen = Deliveries({**seen.seen, str(number): NOW}) if number < SEEN_MAX else seen.with_one(str(number), NOW)
    assert len(seen.seen) == SEEN_MAX
    assert not seen.has("0", NOW)
    assert seen.has(str(SEEN_MAX), NOW)
    assert not seen.has(str(SEEN_MAX), NOW + timedelta(seconds=SEEN_S))


KNOWN = [
    *SIGNATURE_HEADER.values(),
    "x-github-event",
    "x-gitlab-event",
    "x-event-key",
    "webhook-id",
    "webhook-timestamp",
]
BODIES_OF_ANY_KIND = st.binary(max_size=200) | st.sampled_from([json.dumps(one).encode() for one in BODIES.values()])


@given(st.dictionaries(st.sampled_from([*KNOWN, "webhook-signature"]), st.text(max_size=60)), BODIES_OF_ANY_KIND)
def test_whatever_is_sent_without_the_secret_is_refused(headers, body):
    answer, seen = ask(headers, body)
    assert isinstance(answer, Refused)
    assert answer.code is ErrorCode.WEBHOOK_REFUSED
    assert seen == Deliveries()


@given(
    st.sampled_from(Forge),
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["ref", "after", "repository", "project", "push", "changes", "new", "links", "full_name", "source"]
                ),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_whatever_a_holder_of_the_secret_sends_has_an_answer(forge, body):
    answer, _ = ask(headers_of(forge, body), body)
    assert isinstance(answer, Push) or answer.code is ErrorCode.WEBHOOK_UNREADABLE


BRANCH = Reference(ReferenceKind.BRANCH, "main")


@pytest.mark.parametrize(
    ("url", "reference", "expected"),
    [
        ("https://github.com/org/infra", BRANCH, True),
        ("https://github.com/Org/Infra.git", BRANCH, True),
        ("git@github.com:org/infra.git", BRANCH, True),
        ("ssh://git@internal:22/org/infra.git", BRANCH, True),
        ("/srv/git/org/infra.git", BRANCH, True),
        ("https://github.com/org/infra2", BRANCH, False),
        ("https://github.com/other/infra", BRANCH, False),
        ("https://github.com/org/infra", Reference(ReferenceKind.BRANCH, "prod"), False),
        ("https://github.com/org/infra", Reference(ReferenceKind.TAG, "main"), False),
        ("https://github.com/org/infra", Reference(ReferenceKind.SEMVER, ">=1"), False),
        ("https://github.com/org/infra", Reference(), True),
        ("https://github.com/org/infra", Reference(ReferenceKind.COMMIT, COMMIT), False),
    ],
)
def test_a_push_concerns_the_sources_of_that_repository_and_reference(url, reference, expected):
    push = Push(("https://github.com/Org/Infra.git", "Org/Infra"), (Moved("refs/heads/main", COMMIT),))
    assert bool(concerned(push, [SourceSpec("infra", url, reference)])) is expected


def test_a_generic_webhook_may_name_the_source_or_nothing():
    specs = [SourceSpec("a", "https://h/x/a", BRANCH), SourceSpec("b", "https://h/x/b", BRANCH)]
    assert concerned(Push((), (), "b"), specs) == ("b",)
    assert concerned(Push(()), specs) == ("a", "b")
