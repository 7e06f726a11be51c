"""The routes, and what holds for every request: versions, errors, sizes, who may ask."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web

from reconciler.api import faults
from reconciler.api.backup import Backups
from reconciler.api.local_networks import LocalNetworks
from reconciler.api.logs import Logs
from reconciler.api.networks import Networks
from reconciler.api.objects import LISTED, Collection, Tasks
from reconciler.api.passthrough import Engine
from reconciler.api.ports import LocalNode
from reconciler.api.queries import BODY_BYTES_MAX
from reconciler.api.streams import Events, OpenStreams
from reconciler.api.swarm import Swarm
from reconciler.api.system import API_VERSION, API_VERSION_MIN, System, product_version
from reconciler.model.errors import SwarmctlError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

VERSIONED = r"/v{version:[0-9.]{1,16}}"
VERSION_PREFIX = re.compile(r"^/v([0-9.]{1,16})(?=/)")
JSON_ERRORS_SINCE = [1, 23]
"""Clients of an older version are told errors as plain text."""
WRONG_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

log = logging.getLogger(__name__)


def application(node: LocalNode, *, on_tcp: bool) -> web.Application:
    """Return the Docker Engine API of `node`. `on_tcp` adds what a loopback port needs against web pages."""
    guards = [_answer_errors, *([_refuse_web_pages] if on_tcp else []), _check_version]
    app = web.Application(middlewares=guards, client_max_size=BODY_BYTES_MAX)
    streams, engine = OpenStreams(), Engine(node)
    routes = [
        *Events(node, streams, engine).routes(),
        *Logs(node, streams).routes(),
        *Swarm(node).routes(),
        *Tasks(node).routes(),
        *(() if on_tcp else Backups(node).routes()),
    ]
    networks = Networks(node, LocalNetworks(), engine)
    for kind in LISTED:
        routes += Collection(node, kind, networks.own).routes()
    routes += [*networks.routes(), *System(node, engine).routes()]
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
        app.router.add_route(route.method, VERSIONED + route.path, route.handler)
    app.on_shutdown.append(streams.stop)
    app.on_cleanup.append(engine.close)
    app.on_response_prepare.append(_name_ourselves)
    return app


async def _name_ourselves(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Api-Version"] = API_VERSION
    response.headers["Docker-Experimental"] = "false"
    response.headers["Ostype"] = "linux"
    response.headers["Server"] = f"swarmctl/{product_version()} (linux)"


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into {"message": ...}; nobody sees a traceback."""
    try:
        return await handler(request)
    except faults.Refused as refused:
        return faults.respond(refused.status, refused.message)
    except SwarmctlError as error:
        return faults.from_error(error)
    except web.HTTPRequestEntityTooLarge:
        return faults.respond(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return faults.respond(404, "page not found")
    except web.HTTPException as error:
        return faults.respond(error.status, error.reason)
    except ConnectionError:
        raise  # the client has gone; there is nobody to answer
    except Exception as error:  # noqa: BLE001 - the last door: our bug must not become a traceback on the wire
        # Only where and what kind: an exception's text may quote a request, and so a secret.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {last.name}:{last.lineno}"
        log.error("%s %s failed: %s", request.method, request.path, where)
        return faults.respond(500, "internal error; see the daemon's log")


@web.middleware
async def _check_version(request: web.Request, handler: Handler) -> web.StreamResponse:
    prefix = VERSION_PREFIX.match(request.path)
    if prefix is not None:
        text, asked = prefix[1], _numbers(prefix[1])
        if asked < _numbers(API_VERSION_MIN):
            told = (
                f"client version {text} is too old. Minimum supported API version is {API_VERSION_MIN}, "
                "please upgrade your client to a newer version"
            )
            if asked < JSON_ERRORS_SINCE:
                return web.Response(status=400, text=f"{told}\n")
            raise faults.Refused(400, told)
        if asked > _numbers(API_VERSION):
            raise faults.Refused(
                400, f"client version {text} is too new. Maximum supported API version is {API_VERSION}"
            )
    wrong = WRONG_ESCAPE.search(request.rel_url.raw_query_string)
    if wrong is not None:
        raise faults.Refused(400, f'invalid URL escape "{wrong[0]}"')
    return await handler(request)


@web.middleware
async def _refuse_web_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep web pages out: a browser on this machine reaches loopback ports, and names its page in `Origin`.

    A foreign `Host` is how a page gets around that, by a name of its own that resolves to 127.0.0.1.
    """
    host = request.host.rpartition(":")[0] if re.search(r":\d+$", request.host) else request.host
    if "Origin" in request.headers or host not in LOOPBACK_NAMES:
        raise faults.Refused(403, "requests of web pages are refused")
    return await handler(request)


def _numbers(version: str) -> list[int]:
    """Return a version's numbers as an engine compares them: what is missing is zero."""
    numbers = [int(part or 0) for part in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
