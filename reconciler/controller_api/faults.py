"""How everything that goes wrong is answered: one shape, a stable code, no traceback, and nothing of the request."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from reconciler.model.errors import ErrorCode, Problem, SwarmctlError

_STATUSES: Final = {
    ErrorCode.API_REQUEST_INVALID: 400,
    ErrorCode.OBJECT_NOT_FOUND: 404,
    ErrorCode.REVISION_NOT_FOUND: 404,
    ErrorCode.RAFT_NO_LEADER: 503,
    ErrorCode.RAFT_NOT_LEADER: 503,
    ErrorCode.RAFT_OVERLOADED: 503,
    ErrorCode.RAFT_OUTCOME_UNKNOWN: 503,
    ErrorCode.RAFT_STOPPED: 503,
    ErrorCode.FENCED: 503,
    ErrorCode.ENGINE_UNREACHABLE: 503,
}


class Refused(Exception):
    """A request that is answered with `status`. `close`: nothing more is read from this connection."""

    def __init__(self, status: int, code: ErrorCode, what: str, hint: str = "", *, close: bool = False) -> None:
        super().__init__(what)
        self.status = status
        self.problem = Problem(code, what, hint=hint)
        self.close = close


def respond(status: int, problem: Problem, *, close: bool = False) -> web.Response:
    """Return the answer for one problem."""
    body = {"code": problem.code.value, "message": problem.what, "why": problem.why, "hint": problem.hint}
    response = web.json_response(body, status=status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="swarmctl"'
    if close:
        response.force_close()
    return response


def no_operation(error: web.HTTPNotFound | web.HTTPMethodNotAllowed) -> web.Response:
    """Return the answer for a path or method that there is not; RFC 9110, 15.5.6: with the methods that there are."""
    response = respond(error.status, Problem(ErrorCode.API_REQUEST_INVALID, "There is no such operation."))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def from_error(error: SwarmctlError) -> web.Response:
    """Return the answer for an error that a user may read: 503 where it helps to ask again, else 404 or 409."""
    status = _STATUSES.get(error.code, 503 if error.passing else 409)
    return respond(status, error.problems[0])


def invalid(what: str, hint: str = "", *, status: int = 400) -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(status, ErrorCode.API_REQUEST_INVALID, what, hint)
