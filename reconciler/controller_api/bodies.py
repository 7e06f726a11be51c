"""Reading a request's body: as much as is allowed, in the time that is allowed, and JSON of one known form."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from reconciler.controller_api.faults import Refused, invalid
from reconciler.controller_api.routes import FORMS, LIMIT_DEFAULT, LIMIT_MAX, NAME_CHARS_MAX
from reconciler.model.errors import ErrorCode

JSON_BYTES_MAX: Final = 64 * 1024
BODY_S: Final = 10.0
"""Seconds for a whole body."""
NUMBER_MAX: Final = 2**53

Form = TypeVar("Form", bound=msgspec.Struct)


async def read(request: web.Request, longest: int, seconds: float = BODY_S) -> bytes:
    """Return the body. One that says that it is too long is refused before a byte of it is read."""
    if (request.content_length or 0) > longest:
        raise _too_large(longest)
    parts = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.content.iter_any():
                parts += part
                if len(parts) > longest:
                    raise _too_large(longest)
    except TimeoutError:
        text = f"The body did not come within {seconds:g} s."
        raise Refused(408, ErrorCode.API_TOO_SLOW, text, close=True) from None
    return bytes(parts)


def _too_large(longest: int) -> Refused:
    return Refused(413, ErrorCode.API_TOO_LARGE, f"The body has more than {longest} bytes.", close=True)


async def read_form(request: web.Request, form: type[Form], seconds: float = BODY_S) -> Form:
    """Return the body as `form`. What is unknown in it is refused, so that nothing is asked for in vain."""
    if request.content_type != "application/json":
        # A web page can't send this type to another site without asking first, and we say no to that.
        raise invalid(
            "The body is not of the type application/json.", "Send `Content-Type: application/json`.", status=415
        )
    body = await read(request, JSON_BYTES_MAX, seconds)
    try:
        return msgspec.json.decode(body or b"{}", type=form)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`")
        raise invalid("The body is not what is expected here.", FORMS.get(field, f"{error}.")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("The body is no JSON.") from None


def limit_of(request: web.Request) -> int:
    """Return how many entries are asked for."""
    return min(number_of(request, "limit", LIMIT_DEFAULT), LIMIT_MAX)


def number_of(request: web.Request, name: str, default: int) -> int:
    """Return a whole number of the query."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 17 and int(text) < NUMBER_MAX):
        raise invalid(f"{name} is no whole number.")
    return int(text)


def name_of(request: web.Request, name: str) -> str | None:
    """Return a name of the query, or None."""
    text = request.query.get(name)
    if text is not None and not (0 < len(text) <= NAME_CHARS_MAX and text.isprintable()):
        raise invalid(f"{name} is empty, longer than {NAME_CHARS_MAX} characters, or can't be printed.")
    return text
