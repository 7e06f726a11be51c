"""One method for each route: it reads what is asked for, asks the controller, and shows its answer."""

from __future__ import annotations

from aiohttp import web

from reconciler.controller_api import bodies, openapi, views
from reconciler.controller_api.access import Caller
from reconciler.controller_api.faults import Refused, invalid
from reconciler.controller_api.ports import Controller
from reconciler.controller_api.routes import IssueBody, ResumeBody, RollbackBody, RotateBody, SuspendBody, SyncBody
from reconciler.gitops.state import EVERYTHING, Suspension
from reconciler.gitops.webhooks import BODY_BYTES_MAX, Passed, WebhookRequest
from reconciler.gitops.webhooks import Refused as WebhookRefused
from reconciler.http_backup import give

CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


class Handlers:
    """The names are those of the routes. Bodies must come within `body_s` seconds."""

    def __init__(self, controller: Controller, body_s: float = bodies.BODY_S) -> None:
        self._controller = controller
        self._body_s = body_s

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer a liveness probe."""
        found = self._controller.health()
        return web.json_response(views.health(found.alive, found), status=200 if found.alive else 503)

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer a readiness probe."""
        found = self._controller.health()
        ok = found.alive and found.ready
        return web.json_response(views.health(ok, found), status=200 if ok else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        text, kind = self._controller.metrics(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": kind})

    async def openapi(self, _: web.Request) -> web.Response:
        """Describe this API."""
        return web.json_response(openapi.document())

    async def status(self, _: web.Request) -> web.Response:
        """Say where everything stands."""
        return web.json_response(views.status(self._controller.overview(), self._controller.now()))

    async def history(self, request: web.Request) -> web.Response:
        """List applies."""
        stack, limit = bodies.name_of(request, "stack"), bodies.limit_of(request)
        found = await self._controller.history(stack, limit)
        tickets = await self._controller.tickets(limit) if stack is None else ()
        return web.json_response(views.history(found, tickets))

    async def events(self, request: web.Request) -> web.Response:
        """List what happened."""
        after, limit = bodies.number_of(request, "after", 0), bodies.limit_of(request)
        found = await self._controller.events(bodies.name_of(request, "stack"), after, limit)
        return web.json_response(views.events(found))

    async def trace(self, request: web.Request) -> web.Response:
        """Say where a task or service comes from."""
        name = bodies.name_of(request, "name")
        if name is None:
            raise invalid("name is missing.", "Give a task's id, or a service's name or id.")
        return web.json_response(views.trace(await self._controller.trace(name)))

    async def sync(self, request: web.Request) -> web.Response:
        """Take the wish for a sync."""
        form = await bodies.read_form(request, SyncBody, self._body_s)
        await self._controller.sync(frozenset(form.stacks or [EVERYTHING]), request[CALLER].name)
        return _accepted()

    async def suspend(self, request: web.Request) -> web.Response:
        """Take a suspension."""
        form, now = await bodies.read_form(request, SuspendBody, self._body_s), self._controller.now()
        if form.until is not None and (form.until.tzinfo is None or form.until <= now):
            raise invalid("until has no offset from UTC, or is over.", "Write it as in 2026-12-24T18:00:00Z.")
        await self._controller.suspend(Suspension(form.stack, now, request[CALLER].name, form.reason, form.until))
        return _accepted()

    async def resume(self, request: web.Request) -> web.Response:
        """End a suspension."""
        form = await bodies.read_form(request, ResumeBody, self._body_s)
        await self._controller.resume(form.stack, request[CALLER].name)
        return _accepted()

    async def rollback(self, request: web.Request) -> web.Response:
        """Take the wish for a rollback."""
        form = await bodies.read_form(request, RollbackBody, self._body_s)
        commit = await self._controller.rollback(form.stack, form.commit, request[CALLER].name)
        return web.json_response({"accepted": True, "commit": commit}, status=202)

    async def issue(self, request: web.Request) -> web.Response:
        """Give out a join command."""
        form = await bodies.read_form(request, IssueBody, self._body_s)
        found = await self._controller.issue_ticket(form.role, form.hostname, request[CALLER].name)
        return web.json_response(views.ticket(found, form.hostname))

    async def rotate(self, request: web.Request) -> web.Response:
        """Take the wish for a new join token."""
        form = await bodies.read_form(request, RotateBody, self._body_s)
        await self._controller.rotate_token(form.role, request[CALLER].name)
        return _accepted()

    async def backup(self, request: web.Request) -> web.StreamResponse:
        """Give a copy of the state away."""
        async with self._controller.backup(request[CALLER].name) as found:
            return await give(request, found)

    async def webhook(self, request: web.Request) -> web.Response:
        """Take a webhook. Why it is refused stands in our log; the sender learns no more than the status says."""
        body = await bodies.read(request, BODY_BYTES_MAX, self._body_s)
        headers = {name.lower(): text for name, text in request.headers.items()}
        answer = await self._controller.webhook(WebhookRequest(headers, body))
        if isinstance(answer, WebhookRefused):
            raise Refused(answer.status, answer.code, _WORDS.get(answer.status, "The webhook is refused."))
        return web.json_response({"accepted": not isinstance(answer, Passed)}, status=202)


_WORDS = {
    400: "The webhook can't be read.",
    401: "The webhook's signature or token is missing or wrong.",
    409: "The same webhook came before.",
}


def _accepted() -> web.Response:
    return web.json_response({"accepted": True}, status=202)
