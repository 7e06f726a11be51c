"""An HTTP answer read to its end, or to a limit: `read(n)` of aiohttp returns what has come so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def whole(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Return an answer's content; of one that is longer than `bytes_max`, more than that and not all."""
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > bytes_max:
            break
    return bytes(content)
