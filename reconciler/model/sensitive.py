"""What must not be shown of a spec or a text, and what stands in its place. Pure; the one place that knows.

People put passwords into commands, health checks, variables and labels, where Swarm keeps them as they are. All that
tells of a field goes through here: a value that is named like a secret, and what looks like one inside a longer text.
Better too much is hidden than too little: the hash still tells two values apart.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from reconciler.model.json import JsonValue
from reconciler.model.plan import SENSITIVE
from reconciler.model.secret_names import STEMS, WORDS
from reconciler.model.secret_places import COMMANDS, MYSQL, PLACES, REDIS, SIGNS

Hide = Callable[[str], str]
"""Returns what is shown in the place of a secret."""

MAPS_OF_USERS: Final = frozenset({"Labels", "Options", "Sysctls", "DriverOpts"})
"""Objects whose keys a user chooses."""

SCRYPT_COST: Final = 2**12
"""About 10 ms a hash, as for the content of secrets: what is weak can't be searched for quickly."""
HASH_BYTES: Final = 4
KNOWN_CHARACTERS_MIN: Final = 4
"""A shorter secret is not looked for in texts: it is part of too many words."""

_HIDDEN: Final = SENSITIVE[:-1]
_STAND_IN: Final = re.compile(re.escape(_HIDDEN) + r"(, hash [0-9a-f]{8})?\)")
_COMMON: Final = frozenset({"true", "false", "null", "none", "default", "plain", "login", "basic", "htpasswd"})
_NO_SECRET: Final = re.compile(r"[\d.:/\[\]-]*(?:/(?:tcp|udp|sctp))?|[./~].*")
"""What may follow -p and is none: a port, an address or a path."""
_ASSIGNMENT: Final = re.compile(r"(-{0,2}[\w.\-\[\]]+)=(.*)", re.DOTALL)
_HEADER: Final = re.compile(r"([\w-]+)(:\s*)(.*)", re.DOTALL)


_PLACES: Final = tuple((sign, pattern, WORDS in pattern) for sign, pattern in COMMANDS + PLACES)
"""With each place whether it has a name in it: in a text without any such name there is none to be looked for."""

_ANY_NAME: Final = rf"{WORDS}|\bpwd"


@functools.cache
def _signs() -> re.Pattern[str]:
    return re.compile(SIGNS)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern, made when the first text needs it: all take a while, and most plans need few."""
    return re.compile(pattern, re.IGNORECASE)


def _inside(text: str) -> Iterator[re.Pattern[str]]:
    """Yield the patterns that may find something in a text."""
    lower = text.lower()
    if _signs().search(lower):
        named = _has_stem(lower) and _compiled(_ANY_NAME).search(text) is not None
        for sign, pattern, needs_name in _PLACES:
            if (named or not needs_name) and sign in lower:
                yield _compiled(pattern)


def sounds_secret(name: str) -> bool:
    """Return whether the value of something called `name` must not be shown."""
    return _has_stem(name.lower()) and _compiled(WORDS).search(name) is not None


def _has_stem(lower: str) -> bool:
    return any(stem in lower for stem in STEMS)


def is_stand_in(value: object) -> bool:
    """Return whether a value is what stands for a secret, and not one."""
    return isinstance(value, str) and _STAND_IN.fullmatch(value) is not None


def hidden(_: str) -> str:
    """Return what is shown of any secret."""
    return SENSITIVE


@functools.lru_cache(maxsize=4096)
def hashed(secret: str, salt: str) -> str:
    """Return what is shown of a secret where another has to be told from it: a short, slow, salted hash.

    Equal secrets give equal texts where the salt is the same, which is the path of the field.
    """
    content = secret.encode("utf-8", "surrogatepass")
    digest = hashlib.scrypt(
        content, salt=salt.encode("utf-8", "surrogatepass"), n=SCRYPT_COST, r=8, p=1, dklen=HASH_BYTES
    )
    return f"{_HIDDEN}, hash {digest.hex()})"


def hashing(salt: str) -> Hide:
    """Return what hides secrets so that they can be told apart."""
    return functools.partial(hashed, salt=salt)


def stand_in(value: JsonValue, hide: Hide) -> JsonValue:
    """Return what is shown of a value all of which is secret; null has nothing to hide."""
    if value is None or is_stand_in(value):
        return value
    return hide(value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def masked(value: JsonValue, hide: Hide = hidden) -> JsonValue:
    """Return a field's value with a stand-in for each secret in it: text by text, or argument by argument."""
    if isinstance(value, str):
        return masked_text(value, hide=hide)
    if isinstance(value, list):
        return _masked_arguments(value, hide)
    if isinstance(value, dict):
        return {key: masked(one, hide) for key, one in value.items()}
    return value


def masked_text(text: str, known: Collection[str] = (), hide: Hide = hidden) -> str:
    """Return a text with a stand-in for each secret in it, and for each of `known`, longest first."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, SENSITIVE)
    for pattern in _inside(text):
        text = pattern.sub(lambda match: _replaced(match, hide), text)
    return text


def _replaced(match: re.Match[str], hide: Hide) -> str:
    secret, quote = match["secret"], ""
    if len(secret) > 1 and secret[0] in "\"'`" and secret[-1] == secret[0]:
        secret, quote = secret[1:-1], secret[0]
    if not secret or secret == _HIDDEN.split()[0] or is_stand_in(secret):  # it was hidden before
        return match[0]
    start, end = match.start("secret") - match.start(), match.end("secret") - match.start()
    return f"{match[0][:start]}{quote}{hide(secret)}{quote}{match[0][end:]}"


def _once(secret: str, hide: Hide) -> str:
    return secret if is_stand_in(secret) else hide(secret)


def _masked_arguments(arguments: list[JsonValue], hide: Hide) -> list[JsonValue]:
    """Return a list with its secrets hidden: an argument may be the value of the one before it."""
    words, hide = " ".join(one for one in arguments if isinstance(one, str)), functools.partial(_once, hide=hide)
    of_command = _secrets_of_command(words)
    shown: list[JsonValue] = []
    before = ""
    for one in arguments:
        if not isinstance(one, str):
            shown.append(masked(one, hide))
            before = ""
        else:
            shown.append(_following(before, one, words, hide) if one not in of_command else hide(one))
            before = one
    return shown


def _secrets_of_command(words: str) -> frozenset[str]:
    """Return the words that are secrets by the place that they have in the arguments of a well-known program."""
    found: set[str] = set()
    for program, pattern in COMMANDS:
        if program in words:
            found.update(f"{match['option']}{match['secret']}" for match in _compiled(pattern).finditer(words))
    return frozenset(found)


def _following(before: str, argument: str, words: str, hide: Hide) -> str:
    """Return an argument as it is shown after the argument `before`, in a command of these words."""
    if _takes_secret(before, argument, words):
        return hide(argument) if argument else argument
    if before in ("-H", "--header") and (header := _HEADER.fullmatch(argument)) and _is_secret_header(header[1]):
        return f"{header[1]}{header[2]}{hide(header[3])}"
    if before in ("-u", "--user") and re.search(r"\bcurl\b", words) and ":" in argument:
        user, _, password = argument.partition(":")
        return f"{user}:{hide(password)}"
    if argument.startswith("-p") and len(argument) > 2 and argument[2] not in "=-" and re.search(MYSQL, words):
        return argument if _NO_SECRET.fullmatch(argument[2:]) else f"-p{hide(argument[2:])}"
    return _argument(argument, hide)


def _takes_secret(option: str, argument: str, words: str) -> bool:
    """Return whether all of `argument` is the secret that `option`, which stands before it, asks for."""
    if not option.startswith("-") or "=" in option or len(option.split()) != 1 or argument.startswith("-"):
        return False
    if option == "-p":
        return _NO_SECRET.fullmatch(argument) is None
    return sounds_secret(option) or (option == "-a" and re.search(REDIS, words) is not None)


def _is_secret_header(name: str) -> bool:
    return name.lower() in ("authorization", "proxy-authorization", "cookie") or sounds_secret(name)


def _argument(argument: str, hide: Hide) -> str:
    """Return one argument with its secrets hidden; of NAME=VALUE all of the value, be there spaces in it."""
    assignment = _ASSIGNMENT.fullmatch(argument)
    if assignment is None:
        return masked_text(argument, hide=hide)
    name, value = assignment[1], assignment[2]
    if not value:
        return argument
    if name.lower() == "pwd":  # the working directory, or the first of a connection string
        return masked_text(argument, hide=hide)
    return f"{name}={hide(value) if sounds_secret(name) else _argument(value, hide)}"


def secrets_in(*specs: JsonValue) -> frozenset[str]:
    """Return the secrets that stand in specs as the Engine API has them, to be looked for in somebody else's words."""
    found: set[str] = set()

    def note(secret: str) -> str:
        found.add(secret)
        return SENSITIVE

    for spec in specs:
        _walk(spec, "", note)
    return frozenset(one for one in found if len(one) >= KNOWN_CHARACTERS_MIN and one.lower() not in _COMMON)


def _walk(value: JsonValue, key: str, note: Hide) -> None:
    if isinstance(value, dict):
        for name, one in value.items():
            if key in MAPS_OF_USERS and isinstance(one, str) and sounds_secret(name):
                note(one)
            else:
                _walk(one, name, note)
    elif isinstance(value, list) and key == "Env":
        _walk_environment((str(one) for one in value), note)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for one in value:
            _walk(one, key, note)
    elif isinstance(value, (str, list)):
        masked(value, note)


def _walk_environment(variables: Iterable[str], note: Hide) -> None:
    for variable in variables:
        name, _, value = variable.partition("=")
        if value and sounds_secret(name):
            note(value)
        else:
            masked_text(value, hide=note)
