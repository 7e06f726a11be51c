"""A backup as an answer of HTTP, of both APIs: it comes whole, or is seen to be cut off."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from reconciler.model.replication import Backup

PIECE_S: Final = 30.0
"""Seconds for a caller to take the next piece."""


async def give(request: web.Request, found: Backup) -> web.StreamResponse:
    """Answer with a backup. Raises ConnectionResetError, which ends the connection.

    So who does not take it is cut off; and who gets less than was promised sees it at once, and waits for no more.
    """
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = left = found.size
    await response.prepare(request)
    try:
        while piece := await found.read():
            async with asyncio.timeout(PIECE_S):
                await response.write(piece)
            left -= len(piece)
    except (TimeoutError, OSError) as error:
        raise ConnectionResetError("The rest can't be sent.") from error
    if left > 0:
        raise ConnectionResetError("The rest is not there.")
    await response.write_eof()
    return response
