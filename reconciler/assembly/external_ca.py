"""A root whose key is somewhere else: refused, as an engine refuses one that nobody answers for, and else for now."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from reconciler.assembly.swarm_settings import refused
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig

DIAL_S = 2.0
"""Seconds for an external CA to take a connection."""
HTTPS_PORT = 443
NOBODY = (
    "rpc error: code = InvalidArgument desc = there must be at least one valid, reachable external CA corresponding to "
    "the desired CA certificate"
)
NOT_YET = "a root certificate without its key needs an external CA, which this version can't use: give --ca-key too"


async def refuse_external(spec: JsonObject) -> None:
    """Raise SwarmctlError (request-refused, not-updatable) for a root certificate without its key."""
    if not dig(spec, "CAConfig", "SigningCACert") or dig(spec, "CAConfig", "SigningCAKey"):
        return
    named = dig(spec, "CAConfig", "ExternalCAs") or ()
    places = [str(one.get("URL") or "") for one in named if isinstance(one, dict)]
    if not any(await asyncio.gather(*map(_is_reachable, places))):
        raise refused(NOBODY)
    raise SwarmctlError(ErrorCode.NOT_UPDATABLE, "The swarm's root can't be replaced.", why=NOT_YET)


async def _is_reachable(url: str) -> bool:
    """Whether somebody takes a connection there; nothing is sent."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            return False
        async with asyncio.timeout(DIAL_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or HTTPS_PORT)
    except (OSError, ValueError, TimeoutError):
        return False
    writer.close()
    return True
