"""The routes, and what holds for every request: who may ask, how many at once, and how it fails."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from reconciler.controller_api import faults
from reconciler.controller_api.access import Access, Caller, Role
from reconciler.controller_api.bodies import BODY_S
from reconciler.controller_api.faults import Refused
from reconciler.controller_api.handlers import CALLER, Handlers
from reconciler.controller_api.peer import user_of
from reconciler.controller_api.ports import Controller
from reconciler.controller_api.routes import ROUTES, Need
from reconciler.gitops.webhooks import BODY_BYTES_MAX
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError

REQUESTS_MAX: Final = 64
"""Requests that are worked on at once. Probes are not counted: they must be answered when all else is busy."""
REFUSALS_LOGGED_MAX: Final = 1000
"""Addresses whose refusals were logged, after which the list begins anew."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_NEEDS: Final = {(route.method, route.path): route.need for route in ROUTES}
_NOBODY: Final = Caller("", Role.NOBODY)

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Guard:
    """What all requests share."""

    controller: Controller
    access: Access
    under_way: int = 0
    logged: set[tuple[str, int]] | None = None

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check who asks, and turn whatever goes wrong into the one shape of errors."""
        route = request.match_info.route.resource
        template = route.canonical if route is not None else ""
        response = await self._answered(request, handler, template)
        # No name of a method that is not ours: a caller may make up any number of them.
        method = request.method if (request.method, template) in _NEEDS else "other"
        self.controller.answered(method, template or "none", response.status)
        return response

    async def _answered(self, request: web.Request, handler: Handler, template: str) -> web.StreamResponse:
        try:
            need = _NEEDS.get((request.method, template), Need.READ)
            request[CALLER] = self._let_in(request, need)
            if need is Need.OPEN:
                return await handler(request)
            return await self._one_of_many(request, handler)
        except Refused as refused:
            self._log_once(request, refused)
            return faults.respond(refused.status, refused.problem, close=refused.close)
        except SwarmctlError as error:
            return faults.from_error(error)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return faults.no_operation(error)
        except web.HTTPException as error:
            return faults.respond(error.status, Problem(ErrorCode.API_REQUEST_INVALID, f"{error.reason}."))
        except ConnectionError:
            raise  # the caller has gone; there is nobody to answer
        except Exception as error:  # noqa: BLE001 - the last door: our bug must not become a traceback on the wire
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {last.name}:{last.lineno}"
            log.error("request failed", route=template, where=where)
            return faults.respond(500, Problem(ErrorCode.INTERNAL, "A bug in swarmctl; its log says where."))

    async def _one_of_many(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.under_way >= REQUESTS_MAX:
            raise Refused(503, ErrorCode.API_OVERLOADED, f"{REQUESTS_MAX} requests are under way.", close=True)
        self.under_way += 1
        try:
            return await handler(request)
        finally:
            self.under_way -= 1

    def _let_in(self, request: web.Request, need: Need) -> Caller:
        """Return who asks. Raises Refused: 401 for nobody that we know, 403 for a web page or too low a role."""
        if "Origin" in request.headers and need is not Need.OPEN:
            raise Refused(403, ErrorCode.API_REFUSED, "Requests of web pages are refused.", close=True)
        if need in (Need.OPEN, Need.SIGNED) or (need is Need.METRICS and self.access.open_metrics):
            return _NOBODY
        caller = self.access.caller(request.headers.get("Authorization", ""))
        if caller is None:
            hint = "Send `Authorization: Bearer TOKEN`."
            raise Refused(401, ErrorCode.API_REFUSED, "The token is missing or wrong.", hint, close=True)
        if caller.role < (Role.WRITE if need is Need.WRITE else Role.READ):
            raise Refused(403, ErrorCode.API_REFUSED, "This token may read, and no more.")
        if self.access.local and (user := user_of(request.get_extra_info("socket"))):
            return Caller(f"{user} (local)", caller.role)
        return caller

    def _log_once(self, request: web.Request, refused: Refused) -> None:
        """Log the first refusal of each kind from each address: who tries a million tokens must not fill the disk."""
        if refused.status not in (401, 403, 408, 413, 503):
            return
        if self.logged is None or len(self.logged) >= REFUSALS_LOGGED_MAX:
            self.logged = set()
        key = (request.remote or "local", refused.status)
        if key not in self.logged:
            self.logged.add(key)
            log.warning("request refused", caller=key[0], status=refused.status, code=refused.problem.code.value)


def application(controller: Controller, access: Access, *, body_s: float = BODY_S) -> web.Application:
    """Return the controller's API. `body_s` is how long a body may take, in seconds."""
    app = web.Application(middlewares=[_Guard(controller, access).answer], client_max_size=BODY_BYTES_MAX)
    handlers = Handlers(controller, body_s)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, getattr(handlers, route.name))
    app.on_response_prepare.append(_name_nobody)
    return app


async def _name_nobody(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "swarmctl"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
