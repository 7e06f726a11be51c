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

Hide = Callable[[str], str]
"""Returns what is shown in the place of a secret."""

MAPS_OF_USERS: Final = frozenset({"Labels", "Options", "Sysctls", "DriverOpts"})
"""Objects whose keys a user chooses."""

SCRYPT_COST: Final = 2**12
"""About 10 ms a hash, as for the content of secrets: what is weak can't be searched for quickly."""
HASH_BYTES: Final = 4
KNOWN_CHARACTERS_MIN: Final = 4
"""A shorter secret is not looked for in texts: it is part of too many words."""


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
_WORDS: Final = (
    rf"(?a:(?=pass){_NO_PASS}pass(?![a-z])|password|passwd|passphrase|passcode|requirepass|masterauth"
    rf"|(?<!old)(?<=[\w.-])pwd(?![a-z])|(?:(?<![a-z])|(?<=db)|{_NEW_WORD})pw(?![a-z])|(?<!sa)creds?(?![a-z])"
    r"|secret|token|credential|basic[-_.]?auth|(?:api|auth|private|access|encryption|signing|master)[-_.]?key"
    rf"|(?:app|jwt|ssh|session|storage|account)keys?(?![a-z])|{_KEY}"
    rf"|(?=auth)(?:(?<![a-z]){_NO_AUTH}|{_NEW_WORD}{_not_after('no use enable disable require')})"
    r"auth(?![a-z]|[-_.][a-z]))"
)
SENSITIVE_NAME: Final = re.compile(rf"(?i){_WORDS}")
"""Names of variables, labels, options and arguments whose values are not shown."""

_HIDDEN: Final = SENSITIVE[:-1]
_STAND_IN: Final = re.compile(re.escape(_HIDDEN) + r"(, hash [0-9a-f]{8})?\)")
_COMMON: Final = frozenset({"true", "false", "null", "none", "default", "plain", "login", "basic", "htpasswd"})
_NO_SECRET: Final = re.compile(r"[\d.:/\[\]-]*(?:/(?:tcp|udp|sctp))?|[./~].*")
"""What may follow -p and is none: a port, an address or a path."""
_ASSIGNMENT: Final = re.compile(r"(-{0,2}[\w.\-\[\]]+)=(.*)", re.DOTALL)
_HEADER: Final = re.compile(r"([\w-]+)(:\s*)(.*)", re.DOTALL)

_PLAIN: Final = r"[^\s\"'&;]+"
_VALUE: Final = rf"(?P<secret>\"[^\"\n]*\"|'[^'\n]*'|{_PLAIN})"
_MYSQL: Final = r"\b(?:mysql|mariadb)[\w-]*\b"
_REDIS: Final = r"\b(?:redis|valkey|keydb)-cli\b"
_ON_ONE_LINE: Final = r"[^\n;|]{0,300}?[ \t]"
_IN_URL: Final = r"(?P<secret>[^\s\"'<>]{1,2000})"

_LINE: Final = r"(?m:^)[ \t#]{0,200}"
_ITEM: Final = rf"{_LINE}(?:-[ \t]{{1,20}}){{0,5}}"
_QUOTED: Final = r"\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*)*\"|'[^'\n]*(?:''[^'\n]*)*'"
_YAML_KEY: Final = (
    rf"\\?[\"']?[\w.-]{{0,60}}?(?:{_WORDS}|(?<![\w.-])pwd(?=[\"']?:[ \t]{{0,20}}[\"']?[^\s/\"']))[\w.-]{{0,60}}"
    r"(?<!file|path|name)(?:\\?[\"'][ \t]{0,3}:[ \t]*|[ \t]{0,3}:[ \t]+)"
)
_YAML_BLOCK: Final = (
    r"(?:[!&]\S{1,100}[ \t]{1,20}){0,2}[|>][-+\d]{0,2}[ \t]{0,200}(?:#[^\n]{0,500})?\r?\n(?:[ \t]{0,200}\r?\n){0,50}"
)
_YAML_PLAIN: Final = (
    rf"(?![\[{{#]|&[\w-]{{1,100}}[ \t]*(?:[#\r\n]|\Z)|{_YAML_BLOCK}"
    r"|(?:true|false|null|none|yes|no|on|off|~)[ \t]*(?:[,}#\r\n]|\Z))"
)
"""What is no list, mapping, comment, anchor, block or yes and no."""
_CRYPT: Final = r"apr1|2[abxy]|argon2\w{1,2}|[156y](?=\${1,2}[^\s$]{1,100}\${1,2}[\w./]{20})"

_INSIDE: Final[tuple[tuple[str, str], ...]] = (
    # NAME: | and the lines below, as far as they are indented like the first
    (
        "\n",
        rf"{_ITEM}{_YAML_KEY}{_YAML_BLOCK}(?P<indent>[ \t]{{1,200}})"
        r"(?P<secret>\S[^\n]*(?:\n(?:(?P=indent)[^\n]*|[ \t\r]*(?=\n)))*)",
    ),
    # URLs that let everybody write into a chat, and signed ones
    ("hooks.slack", rf"\bhooks\.slack[\w-]{{0,10}}\.com/(?:services|workflows|triggers)/{_IN_URL}"),
    (".com/api/", rf"\bdiscord(?:app)?\.com/api/(?:v\d{{1,2}}/)?webhooks/[^\s/\"']{{1,60}}/{_IN_URL}"),
    ("/webhook", rf"(?:/webhookb2|\boutlook\.office(?:365)?\.com/webhook)/{_IN_URL}"),
    ("bot", r"(?:\btelegram\.org/(?:file/)?bot\d{1,20}|\bbot\d{5,20}):(?P<secret>[^\s/?\"'<>]{5,500})"),
    ("://", rf"\b(?:slack|discord|tgram|msteams)://{_IN_URL}"),
    ("sig", r"[?&;](?:[\w-]{0,20}-)?sig(?:nature)?=(?P<secret>[^\s\"'&<>]{1,1000})"),
    ("-----begin", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?P<secret>[^-]+)-----END"),
    # user:password@ of a URL; a port is none, and a password may hold slashes
    ("@", r"://[^\s/?#:@\"']{0,200}:(?!\d{1,5}(?:[/?#,]|$))(?P<secret>[^\s\"'<>]{1,1000})@"),
    ("@", r"https?://(?P<secret>[^\s/?#:@\"'<>]{8,500})@"),
    ("@", r"(?<![\w./-])[\w.-]{1,100}:(?P<secret>[^\s@\"']{1,500})@(?:tcp|unix|udp)\("),
    (
        "authorization",
        r"\b(?:proxy-)?authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:(?:basic|bearer|digest|token|apikey)[ \t]+)?"
        r"(?P<secret>[^\s\"']+)",
    ),
    ("bearer", r"\bbearer[ \t]+(?!realm=|tokens?\b|auth\w*\b)(?P<secret>[\w.~+/=-]{6,})"),
    ("-h", rf"(?:-H|--header)[ \t=]*[\"']?[\w-]{{0,40}}?(?:{_WORDS})[\w-]{{0,40}}:[ \t]*(?P<secret>[^\s\"']+)"),
    # NAME=VALUE, --name=VALUE, ?name=VALUE, Name=VALUE;
    ("=", rf"(?:{_WORDS})[\w.\]-]{{0,60}}[\"']?[ \t]{{0,40}}=[ \t]{{0,40}}{_VALUE}"),
    # a connection string's, not the working directory
    ("pwd", rf"(?:[;,?&][ \t]{{0,3}}pwd|{_LINE}[\"']?pwd(?=[^;\n]{{1,500}};))[ \t]{{0,3}}=[ \t]{{0,3}}{_VALUE}"),
    (
        ":",
        rf"(?:{_WORDS})[\w.-]{{0,60}}\\?[\"'][ \t]{{0,3}}:[ \t]{{0,3}}"
        rf"(?P<secret>\\\"[^\"\n]*\"|{_QUOTED}|\"[^\"\n]*\")",
    ),
    ("-", rf"(?<![\w-])-{{1,2}}[\w-]{{0,40}}?(?:{_WORDS})[\w-]{{0,40}}[ \t]+(?!-){_VALUE}"),
    ("-p", rf"(?<![\w-])-p[ \t]+(?!-)(?!(?:[\d.:/\[\]-]+|[./~]\S*)(?:\s|$)){_VALUE}"),
    ("-p", rf"{_MYSQL}{_ON_ONE_LINE}-p(?P<secret>[^\s\"']+)"),
    ("-a", rf"{_REDIS}{_ON_ONE_LINE}-a[ \t]+{_VALUE}"),
    ("-u", rf"\bcurl\b{_ON_ONE_LINE}(?:-u|--user)[ \t=]*[\"']?[^\s:\"']{{0,100}}:(?P<secret>[^\s\"']+)"),
    # files: XML, properties, YAML, redis.conf, htpasswd
    (
        "</",
        rf"<[\w:.-]{{0,60}}?(?:{_WORDS})[\w.-]{{0,60}}(?<!file|path|name)(?:\s[^<>]{{0,300}})?>\s{{0,200}}"
        r"(?:<!\[CDATA\[\s{0,200})?(?P<secret>[^\s<>][^<>]{0,2000}?)\s{0,200}(?:\]\]>\s{0,200})?</",
    ),
    (
        ":",
        rf"{_LINE}[\w.-]{{0,60}}(?:password|passwd|passphrase):(?!\d{{1,5}}(?:/|\s|$)|//)(?P<secret>[^\s:][^\n]*)",
    ),
    (":", rf"{_ITEM}{_YAML_KEY}{_YAML_PLAIN}(?P<secret>{_QUOTED}|\S+(?:[ \t]+[^\s#]\S*)*)"),
    (
        ":",
        rf"(?:(?P<open>\{{)|,)[ \t]{{0,20}}{_YAML_KEY}(?(open)|(?=[^{{}}]{{0,2000}}[{{}}])){_YAML_PLAIN}"
        rf"(?P<secret>\(sensitive value[^)\n]{{0,40}}\)|{_QUOTED}|[^\s,}}]+(?:[ \t]+[^\s,}}]+)*)",
    ),
    (
        "",
        rf"(?:{_LINE}|\bconfig[ \t]{{1,5}}set[ \t]{{1,5}})"
        r"(?:requirepass|masterauth|sentinel[ \t]{1,5}auth-pass[ \t]{1,5}\S{1,100})[ \t]{1,20}(?![=:])"
        rf"(?P<secret>{_QUOTED}|\S+)",
    ),
    ("$", rf"(?P<secret>\${{1,2}}(?:{_CRYPT})\${{1,2}}[\w./=,+$-]{{1,500}})"),
    ("{", r"(?-i:\{(?:S?SHA\d{0,3}|S?MD5|CRYPT)\})(?P<secret>[\w+/=.$-]{6,500})"),
    # what GitHub, GitLab, Slack, Swarm, AWS and JWT issue
    (
        "",
        r"\b(?P<secret>gh[a-z]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{15,255}|xox[a-z]-[\w-]{10,255}"
        r"|SWMTKN-\d-[\w-]{10,255}|SWMKEY-\d-[\w+/]{10,255}|AKIA[0-9A-Z]{16}"
        r"|eyJ[\w-]{10,2000}\.[\w-]{10,8000}\.[\w-]{0,2000})",
    ),
)
"""What in a text is a secret by where it stands, after what the text has, in lower case, if any of it does.

Every repetition is bounded, or ends where the next one can't begin before: texts are as long as somebody likes.
"""
_SIGNS: Final = re.compile(
    r"pass|pw|secret|token|cred|auth|key|bearer|@|-p|-a|-u|gh[a-z]_|github_|glpat|xox|swmtkn|akia|eyj"
    r"|hook|bot\d|slack:|discord:|tgram:|msteams:|sig(?:nature)?=|\$(?:apr1|2[abxy]|argon2|[156y]\$)|\{(?:s?sha|s?md5|crypt)"
)
"""A text in lower case without any of these has none of those: most have not, and a plan looks at all."""


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return one of _INSIDE, made when the first text needs it: all take a while, and most plans need few."""
    return re.compile(pattern, re.IGNORECASE)


def _inside(text: str) -> Iterator[re.Pattern[str]]:
    """Yield the patterns that may find something in a text."""
    lower = text.lower()
    if _SIGNS.search(lower):
        for sign, pattern in _INSIDE:
            if sign in lower:
                yield _compiled(pattern)


def sounds_secret(name: str) -> bool:
    """Return whether the value of something called `name` must not be shown."""
    return SENSITIVE_NAME.search(name) is not None


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
    if len(secret) > 1 and secret[0] in "\"'" and secret[-1] == secret[0]:
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
    shown: list[JsonValue] = []
    before = ""
    for one in arguments:
        if not isinstance(one, str):
            shown.append(masked(one, hide))
            before = ""
        else:
            shown.append(_following(before, one, words, hide))
            before = one
    return shown


def _following(before: str, argument: str, words: str, hide: Hide) -> str:
    """Return an argument as it is shown after the argument `before`, in a command of these words."""
    if _takes_secret(before, argument, words):
        return hide(argument) if argument else argument
    if before in ("-H", "--header") and (header := _HEADER.fullmatch(argument)) and _is_secret_header(header[1]):
        return f"{header[1]}{header[2]}{hide(header[3])}"
    if before in ("-u", "--user") and re.search(r"\bcurl\b", words) and ":" in argument:
        user, _, password = argument.partition(":")
        return f"{user}:{hide(password)}"
    if argument.startswith("-p") and len(argument) > 2 and argument[2] not in "=-" and re.search(_MYSQL, words):
        return argument if _NO_SECRET.fullmatch(argument[2:]) else f"-p{hide(argument[2:])}"
    return _argument(argument, hide)


def _takes_secret(option: str, argument: str, words: str) -> bool:
    """Return whether all of `argument` is the secret that `option`, which stands before it, asks for."""
    if not option.startswith("-") or "=" in option or len(option.split()) != 1 or argument.startswith("-"):
        return False
    if option == "-p":
        return _NO_SECRET.fullmatch(argument) is None
    return sounds_secret(option) or (option == "-a" and re.search(_REDIS, words) is not None)


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
