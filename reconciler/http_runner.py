"""What both APIs ask of the HTTP server beneath them."""

from __future__ import annotations

import logging
from typing import Any, Final

from aiohttp import web

STOP_S: Final = 2.0
"""Seconds that answers under way have to end when the server does."""
LINGER_S: Final = 0.5
"""Seconds for which the rest of a refused body is read and dropped, so that its sender reads why: as in Go's server."""

# What is no HTTP is answered with 400 and is the caller's affair; aiohttp would log a traceback of each.
_malformed = logging.getLogger(f"{__name__}.malformed")
_malformed.setLevel(logging.CRITICAL)


def runner_of(app: web.Application, **limits: Any) -> web.AppRunner:
    """Return a runner of `app`, which is not set up. It logs no request and leaves signals to the program.

    A handler is cancelled when its caller goes away. `limits` are more of aiohttp's own, by their names there.
    """
    return web.AppRunner(
        app,
        access_log=None,
        logger=_malformed,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=STOP_S,
        lingering_time=LINGER_S,
        **limits,
    )
