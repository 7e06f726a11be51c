"""Image references, by the grammar of distribution/reference."""

from __future__ import annotations

import re
from typing import Final

_HEX_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_ALNUM: Final = r"[a-z0-9]+"
_COMPONENT: Final = rf"{_ALNUM}(?:(?:[_.]|__|-+){_ALNUM})*"
_HOST: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_ID: Final = re.compile(r"[a-f0-9]{64}")
_NAME_CHARS_MAX: Final = 255
_REFERENCE_CHARS_MAX: Final = 1000


class BadImage(ValueError):
    """The text is no image reference; the message says why."""


def normalized_image(image: str) -> str:
    """Return `image` as the docker client sends it: with a tag, without `docker.io/` and `library/`.

    A reference with a digest is kept as it is. Raises BadImage.
    """
    if not image:
        raise BadImage("it is empty")
    if len(image) > _REFERENCE_CHARS_MAX:
        raise BadImage("it is too long")
    if _ID.fullmatch(image):
        raise BadImage("64 hexadecimal digits are an image id, and Swarm takes names only")
    domain, remainder = _split_domain(image)
    rest, at, digest = remainder.partition("@")
    if at:
        _check_digest(digest)
    path, colon, tag = rest.partition(":")
    if path != path.lower():
        raise BadImage("a repository name must be lowercase")
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise BadImage("a name has lower-case letters, digits and single . _ - between them")
    if colon and not _TAG.fullmatch(tag):
        raise BadImage("a tag has 1 to 128 letters, digits, . _ and -")
    if len(f"{domain}/{path}") > _NAME_CHARS_MAX:
        raise BadImage(f"its name has more than {_NAME_CHARS_MAX} characters")
    suffix = f":{tag}" if colon else ""
    if at:
        return f"{_familiar(domain, path)}{suffix}@{digest}"
    return f"{_familiar(domain, path)}{suffix or ':latest'}"


def _split_domain(image: str) -> tuple[str, str]:
    first, slash, rest = image.partition("/")
    if slash and (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        domain, remainder = first, rest
    else:
        domain, remainder = "docker.io", image
    if domain == "index.docker.io":
        domain = "docker.io"
    if domain == "docker.io" and "/" not in remainder:
        remainder = f"library/{remainder}"
    return domain, remainder


def _familiar(domain: str, path: str) -> str:
    if domain != "docker.io":
        return f"{domain}/{path}"
    inner = path.removeprefix("library/")
    return path if "/" in inner else inner


def _check_digest(digest: str) -> None:
    algorithm, _, code = digest.partition(":")
    wanted = _HEX_DIGITS.get(algorithm)
    if wanted is None or not re.fullmatch(rf"[a-f0-9]{{{wanted}}}", code):
        raise BadImage("a digest is sha256: and 64 hexadecimal digits")
