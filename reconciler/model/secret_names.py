"""What secrets are called: in variables, labels, options, arguments and files. Pure; text of patterns only.

Nothing is compiled here: that takes a while, and many commands look at no name.
"""

from __future__ import annotations

from typing import Final


def _not_after(words: str, then: str = "") -> str:
    """Return the look-behinds that refuse each of the words: one for each length, as all in one have to be as long."""
    by_length: dict[int, list[str]] = {}
    for word in words.split():
        by_length.setdefault(len(word), []).append(word)
    return "".join(f"(?<!(?:{'|'.join(same)}){then})" for same in by_length.values())


_NO_PASS: Final = _not_after("com by over under tres sur low high band all")
_NO_KEYS: Final = _not_after(
    "pub row hot tag sort cache index group shard range topic event label field public lookup object unique record"
    " metric column primary foreign routing binding message partition idempotency publishable"
)
"""Keys that open nothing: PUBLIC_KEY, sort-key, routingKey."""
_NO_AUTH: Final = _not_after("no use with skip enable disable require with-registry", "[-_.]")
_NEW_WORD: Final = "(?-i:(?<=[a-z0-9])(?=[A-Z]))"
_KEY: Final = (
    rf"(?=[-_.]?key)(?<=[a-z0-9]){_NO_KEYS}(?:[-_.]|{_NEW_WORD})keys?(?![a-z])"
    r"(?![-_.](?:prefix|pattern|format|vault|path|file|ttl|size|length|type|url)(?![a-z]))"
)
_ABOUT: Final = (
    rf"(?![\w.-]{{0,40}}?(?:[-_.]|{_NEW_WORD})(?:file(?:name)?|path|dir|ttl|expiry|expires|expiration|lifetime"
    r"|length|size|age|timeout|interval|algorithm|policy|encryption)"
    r"(?:[-_.]?(?:s|sec|seconds|minutes|hours|days|ms))?(?![\w.-]))"
)
"""After a word: what is about a secret, and is none. PASSWORD_FILE, tokenExpiry, token_ttl_seconds."""
WORDS: Final = (
    rf"(?a:(?:(?=pass){_NO_PASS}pass(?![a-z])|password|passwd|passphrase|passcode|requirepass|masterauth"
    rf"|(?<!old)(?<=[\w.-])pwd(?![a-z])|(?:(?<![a-z])|(?<=db)|{_NEW_WORD})pw(?![a-z])|(?<!sa)creds?(?![a-z])"
    r"|(?<=root)pw(?![a-z])|(?<=bind)pw(?![a-z])|(?<![a-z])psk(?![a-z])|(?<=[a-z][-_.])salt(?![\w.-])"
    r"|secret(?!ar)|token(?!i[sz])|credential|basic[-_.]?auth"
    r"|(?:api|auth|private|preshared|access|encryption|signing|master)[-_.]?key"
    r"|client-key-data"
    rf"|(?:app|jwt|ssh|session|storage|account)keys?(?![a-z])|{_KEY}"
    rf"|(?=auth)(?:(?<![a-z]){_NO_AUTH}|{_NEW_WORD}{_not_after('no use enable disable require')})"
    rf"auth(?![a-z]|[-_.][a-z])){_ABOUT})"
)
"""Words in names whose values are not shown; to be read without regard to case."""

STEMS: Final = ("pass", "pw", "secret", "token", "cred", "auth", "key", "psk", "salt")
"""One of these is in each of WORDS, in lower case: most texts have none, and that is told quickly."""
