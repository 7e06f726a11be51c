"""What a forge's webhook says: verified by the shared secret first, read second. Pure.

A webhook only wakes a look at the remote; nothing in its body is applied. So a forged or replayed one could at most
cost a look, and even that it is refused: a replayed one by each controller that has taken it before, since what came is
in the memory of whom it came to. Sources: the forges' own documentation of webhooks, and standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from reconciler.gitops.pushes import Push, Unreadable, read_push
from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest body that is read. A forge lists up to some thousand commits in a push."""
SEEN_MAX: Final = 10_000
"""Deliveries that are remembered, to know a replayed one."""
SEEN_S: Final = 24 * 3600.0
CLOCK_SKEW_S: Final = 300.0
"""How far a signed time may be from ours: what standardwebhooks.com recommends."""
RECEIVERS_MAX: Final = 50


class Forge(enum.StrEnum):
    """Whose form a webhook has."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    BITBUCKET = "bitbucket"
    GENERIC = "generic"
    """Anybody: a token as `Authorization: Bearer`, or a signature as standardwebhooks.com has it."""


class Receiver(Discreet, frozen=True):
    """One shared secret, and which forge knows it."""

    UNSHOWN = frozenset({"secret"})

    forge: Forge
    secret: str


class WebhookRequest(Discreet, frozen=True):
    """`headers` have lower-case names. Both may hold secrets, and are in no repr."""

    UNSHOWN = frozenset({"headers", "body"})

    headers: Mapping[str, str]
    body: bytes


class Refused(msgspec.Struct, frozen=True):
    """The request is answered with `status`, and nothing else happens. `why` is for our log, not for the sender."""

    code: ErrorCode
    status: int
    why: str


class Passed(msgspec.Struct, frozen=True):
    """The sender knows the secret, and told of nothing that matters: a ping, a comment, a deleted branch."""

    event: str


Answer: TypeAlias = Push | Passed | Refused


class Deliveries(msgspec.Struct, frozen=True):
    """Which deliveries came lately: {digest: when}, oldest first. Never holds more than SEEN_MAX."""

    seen: Mapping[str, datetime] = msgspec.field(default_factory=dict)

    def with_one(self, digest: str, now: datetime) -> Deliveries:
        """Return them with one more; what is too old or too much is dropped."""
        kept = [(one, at) for one, at in self.seen.items() if (now - at).total_seconds() < SEEN_S and one != digest]
        return Deliveries(dict([*kept, (digest, now)][-SEEN_MAX:]))

    def has(self, digest: str, now: datetime) -> bool:
        """Return whether this delivery came before, as far as that is remembered."""
        at = self.seen.get(digest)
        return at is not None and (now - at).total_seconds() < SEEN_S


def receive(
    request: WebhookRequest, receivers: Sequence[Receiver], deliveries: Deliveries, now: datetime
) -> tuple[Answer, Deliveries]:
    """Return what a request says, and the deliveries to know from then on.

    The order is: size, signature, replay, and the body last, which nobody but a holder of the secret gets us to read.
    """
    if len(request.body) > BODY_BYTES_MAX:
        why = f"Its body has more than {BODY_BYTES_MAX} bytes."
        return Refused(ErrorCode.WEBHOOK_TOO_LARGE, 413, why), deliveries
    forge = forge_of(request.headers)
    checks = [_CHECKS[one.forge](request, one.secret, now) for one in receivers[:RECEIVERS_MAX] if one.forge is forge]
    if not any(check is None for check in checks):
        why = next((check for check in checks if check), f"No secret is set for {forge}.")
        return Refused(ErrorCode.WEBHOOK_REFUSED, 401, why), deliveries
    digest = _replayable(forge, request)
    if digest is not None and deliveries.has(digest, now):
        return Refused(ErrorCode.WEBHOOK_REPLAYED, 409, "The same delivery came before."), deliveries
    try:
        push = read_push(forge.value, event_of(forge, request.headers), request.body)
    except Unreadable as error:
        return Refused(ErrorCode.WEBHOOK_UNREADABLE, 400, str(error)), deliveries
    remembered = deliveries.with_one(digest, now) if digest is not None else deliveries
    if push is None:
        return Passed(event_of(forge, request.headers)), remembered
    return replace(push, delivery=_delivery(request.headers)), remembered


def _replayable(forge: Forge, request: WebhookRequest) -> str | None:
    """Return what a delivery is known by, should it come again; None where that would tell nothing.

    Of the body and not of the delivery's id, where no forge signs that, so that a replay could bring a new one. The
    body of anybody else's may be the same each time: there the id is signed as well, and who has seen a token may send
    whatever they like.
    """
    signed = forge.encode() + b"\0" + request.body
    if forge is Forge.GENERIC:
        if "webhook-signature" not in request.headers:
            return None
        signed += b"\0" + request.headers.get("webhook-id", "").encode("utf-8", "surrogateescape")
    return hashlib.sha256(signed).hexdigest()


def forge_of(headers: Mapping[str, str]) -> Forge:
    """Return which forge a request claims to come from. Gitea sends GitHub's headers as well, so it is asked first."""
    if "x-gitea-event" in headers or "x-forgejo-event" in headers:
        return Forge.GITEA
    if "x-github-event" in headers:
        return Forge.GITHUB
    if "x-gitlab-event" in headers:
        return Forge.GITLAB
    if "x-event-key" in headers:
        return Forge.BITBUCKET
    return Forge.GENERIC


def event_of(forge: Forge, headers: Mapping[str, str]) -> str:
    """Return the event's name as the forge has it, fit to print; "push" from anybody else."""
    if forge is Forge.GENERIC:
        return "push"
    names = ("x-gitea-event", "x-forgejo-event", "x-github-event", "x-gitlab-event", "x-event-key")
    return _printable(next((headers[name] for name in names if name in headers), ""))


def _delivery(headers: Mapping[str, str]) -> str:
    names = ("x-gitea-delivery", "x-github-delivery", "x-gitlab-event-uuid", "x-request-uuid", "x-request-id")
    return _printable(next((headers[name] for name in (*names, "webhook-id") if name in headers), ""))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:100]


Check: TypeAlias = Callable[[WebhookRequest, str, datetime], str | None]
"""Returns None when the sender knows the secret, else why we think it doesn't."""

NO_SIGNATURE: Final = "It carries no signature or token."
WRONG_SIGNATURE: Final = "Its signature or token is wrong."


def _hmac_of(header: str, prefix: str) -> Check:
    def check(request: WebhookRequest, secret: str, _: datetime) -> str | None:
        given = request.headers.get(header, "")
        if not given or not secret:
            return NO_SIGNATURE
        expected = prefix + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
        return None if _same(given, expected) else WRONG_SIGNATURE

    return check


def _gitlab(request: WebhookRequest, secret: str, _: datetime) -> str | None:
    given = request.headers.get("x-gitlab-token", "")
    if not given or not secret:
        return NO_SIGNATURE
    return None if _same(given, secret) else WRONG_SIGNATURE


def _gitea(request: WebhookRequest, secret: str, now: datetime) -> str | None:
    first = _hmac_of("x-gitea-signature", "")(request, secret, now)
    if first is not NO_SIGNATURE:
        return first
    return _hmac_of("x-hub-signature-256", "sha256=")(request, secret, now)


def _generic(request: WebhookRequest, secret: str, now: datetime) -> str | None:
    if not secret:
        return NO_SIGNATURE
    if "webhook-signature" in request.headers:
        return _standard(request, secret, now)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return NO_SIGNATURE
    return None if _same(token.strip(), secret) else WRONG_SIGNATURE


def _standard(request: WebhookRequest, secret: str, now: datetime) -> str | None:
    """Check a signature over id, time and body. The secret may be base64 behind `whsec_`, or any text."""
    name, stamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    if not name or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return NO_SIGNATURE
    if abs(now.timestamp() - int(stamp)) > CLOCK_SKEW_S:
        return f"It was signed more than {CLOCK_SKEW_S:g} s before or after our time."
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            return "Our secret begins with whsec_ and is no base64."
    signed = f"{name}.{stamp}.".encode() + request.body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = request.headers["webhook-signature"].split(" ")[:10]
    # All are compared, so that the time tells nothing of which one was near.
    return None if any([_same(one, expected) for one in given]) else WRONG_SIGNATURE


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


_CHECKS: Final[Mapping[Forge, Check]] = {
    Forge.GITHUB: _hmac_of("x-hub-signature-256", "sha256="),
    Forge.GITLAB: _gitlab,
    Forge.GITEA: _gitea,
    Forge.BITBUCKET: _hmac_of("x-hub-signature", "sha256="),
    Forge.GENERIC: _generic,
}
