"""Who may ask for what: a bearer token over the network, the socket's file mode on this machine."""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.settings import API_TOKEN_CHARS_MAX, API_TOKEN_CHARS_MIN


class Role(enum.IntEnum):
    """What a token is for. Each may do what those below it may."""

    NOBODY = 0
    READ = 1
    WRITE = 2


class Token(Discreet, frozen=True):
    """One bearer token. `name` is who it was given to, and stands in history and events."""

    UNSHOWN = frozenset({"secret"})

    name: str
    role: Role
    secret: str


class Caller(msgspec.Struct, frozen=True):
    """Who asks, and what they may."""

    name: str
    role: Role


class Access(msgspec.Struct, frozen=True):
    """Which tokens count. `open_metrics` lets everybody read /metrics who reaches the port.

    `local` is for a unix socket, which only those reach whom its file mode lets: they may do everything.
    """

    tokens: Sequence[Token] = ()
    open_metrics: bool = False
    local: bool = False

    def caller(self, authorization: str) -> Caller | None:
        """Return who asks, by the Authorization header; None where it names nobody that we know.

        All tokens are compared, each in constant time, so that the time tells nothing of which one was near.
        """
        if self.local:
            return Caller("local", Role.WRITE)
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() != "bearer" or not API_TOKEN_CHARS_MIN <= len(given) <= API_TOKEN_CHARS_MAX:
            return None
        digest = _digest(given)
        fits = [hmac.compare_digest(digest, _digest(one.secret)) for one in self.tokens]
        known = [
            one for one, fit in zip(self.tokens, fits, strict=True) if fit and len(one.secret) >= API_TOKEN_CHARS_MIN
        ]
        return Caller(known[0].name, known[0].role) if known else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
