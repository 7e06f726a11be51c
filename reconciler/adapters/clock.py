"""The system's clock and its source of chance."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 25
_ID_BYTES = 17
_TOKEN_BYTES = 16
_DIGEST_LENGTH = 50


def base36(number: int, length: int) -> str:
    """Return the lowest `length` digits of `number` in base 36, padded with zeros."""
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


class SystemClock:
    """This machine's clocks."""

    def now(self) -> datetime:
        """Return this moment, aware UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards, from an arbitrary start."""
        return time.monotonic()


class RandomIds:
    """Ids as Swarm makes them: 17 random bytes, of which the low 25 base-36 digits are kept."""

    def new_id(self) -> str:
        return base36(int.from_bytes(secrets.token_bytes(_ID_BYTES)), ID_LENGTH)

    def new_join_token(self) -> str:
        """Return a token of Swarm's form, for a swarm without a certificate authority whose digest it could carry:
        that part is chance, too."""
        digest = base36(int.from_bytes(secrets.token_bytes(32)), _DIGEST_LENGTH)
        return f"SWMTKN-1-{digest}-{self.new_secret()}"

    def new_secret(self) -> str:
        """Return the part of a join token that nobody may guess."""
        return base36(int.from_bytes(secrets.token_bytes(_TOKEN_BYTES)), ID_LENGTH)
