"""Every way in which an engine or the way to it can fail has its stable code."""

from __future__ import annotations

import http.client
import inspect
import json
import socket
import ssl

import pytest

from reconciler.adapters.docker import dialing, faults
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.model.errors import ErrorCode

ENDPOINT = Endpoint("unix:///engine.sock", "unix:///engine.sock")
RAISED = [
    error
    for module in (http.client, dialing)
    for _, error in inspect.getmembers(module, inspect.isclass)
    if issubclass(error, Exception) and error.__module__ == module.__name__
]


def instance(error: type[Exception]) -> Exception:
    """Return an instance, whatever its constructor asks for."""
    return error("x") if "__init__" in vars(error) else error()


def test_there_are_errors_to_map() -> None:
    assert len(RAISED) > 10


@pytest.mark.parametrize("error", [*RAISED, OSError, ssl.SSLError, socket.gaierror, UnicodeError, json.JSONDecodeError])
def test_every_error_of_a_request_is_mapped(error: type[Exception]) -> None:
    assert issubclass(error, faults.MAPPED)
    made = error("x", "x", 0) if error is json.JSONDecodeError else instance(error)
    mapped = faults.from_exception(ENDPOINT, made)
    assert mapped.code is ErrorCode.ENGINE_UNREACHABLE
    assert mapped.problems[0].why
    assert mapped.problems[0].hint


NOT_A_MANAGER = "This node is not a swarm manager. "
ANSWERS = [
    (503, NOT_A_MANAGER + 'Use "docker swarm init" or "docker swarm join" to ...', ErrorCode.NOT_IN_A_SWARM),
    (403, NOT_A_MANAGER + 'Use "docker swarm init" or "docker swarm join" to ...', ErrorCode.NOT_IN_A_SWARM),
    (503, NOT_A_MANAGER + "Worker nodes can't be used to view or modify cluster state.", ErrorCode.NOT_A_MANAGER),
    (503, NOT_A_MANAGER + "Manager is being prepared or has trouble ...", ErrorCode.SWARM_UNAVAILABLE),
    (503, "Swarm is encrypted and needs to be unlocked before it can be used.", ErrorCode.SWARM_UNAVAILABLE),
    (503, "Swarm certificates have expired. To replace them, ...", ErrorCode.SWARM_UNAVAILABLE),
    (500, "rpc error: code = Unknown desc = The swarm does not have a leader. It's ...", ErrorCode.SWARM_UNAVAILABLE),
    (500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", ErrorCode.SWARM_UNAVAILABLE),
    (503, "rpc error: code = Unavailable desc = connection refused", ErrorCode.SWARM_UNAVAILABLE),
    (500, "rpc error: code = Unknown desc = update out of sequence", ErrorCode.STALE_VERSION),
    (404, "service web not found", ErrorCode.OBJECT_NOT_FOUND),
    (409, "rpc error: code = AlreadyExists desc = name conflicts with an existing object", ErrorCode.NAME_CONFLICT),
    (
        400,
        "rpc error: code = InvalidArgument desc = secret 's' is in use by ...",
        ErrorCode.OBJECT_IN_USE,
    ),
    (400, "rpc error: code = FailedPrecondition desc = network n is in use by task t", ErrorCode.OBJECT_IN_USE),
    (409, "remove data: volume is in use - [0123456789ab]", ErrorCode.OBJECT_IN_USE),
    (400, "port '80' is already in use by service 'w' (x) as an ingress port", ErrorCode.REQUEST_REFUSED),
    (400, "invalid JSON: ...", ErrorCode.REQUEST_REFUSED),
    (500, "something broke", ErrorCode.REQUEST_REFUSED),
    (302, "", ErrorCode.REQUEST_REFUSED),
]


@pytest.mark.parametrize(("status", "message", "code"), ANSWERS)
def test_every_answer_of_an_engine_has_its_code(status: int, message: str, code: ErrorCode) -> None:
    error = faults.from_response(ENDPOINT, status, json.dumps({"message": message}).encode())
    assert error.code is code
    assert error.problems[0].what
    assert error.problems[0].why
    assert "rpc error" not in error.problems[0].why


def test_a_port_that_another_service_has_may_be_free_in_a_moment() -> None:
    """An engine looks at where a service listens, which follows an update of its ports a little later."""
    said = "port '8082' is already in use by service 'green' (abc) as an ingress port"
    body = json.dumps({"message": f"rpc error: code = InvalidArgument desc = {said}"}).encode()
    taken = faults.from_response(ENDPOINT, 400, body)
    assert (taken.code, taken.passing) == (ErrorCode.REQUEST_REFUSED, True)
    assert not faults.from_response(ENDPOINT, 400, b'{"message": "invalid spec"}').passing


def test_the_engines_own_words_are_kept() -> None:
    body = b'{"message": "rpc error: code = InvalidArgument desc = name must be valid"}'
    assert faults.from_response(ENDPOINT, 400, body).problems[0].why == "The engine says: name must be valid"


@pytest.mark.parametrize("body", [b"", b"<html>oops</html>", b"\xff\xfe", b'{"message": 7}', b"[1]"])
def test_an_answer_without_a_message_is_an_error_too(body: bytes) -> None:
    assert faults.from_response(ENDPOINT, 500, body).problems[0].why


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409])
@pytest.mark.parametrize("body", [b"", b"404 page not found", b"<html>Forbidden</html>", b'{"error": "no such route"}'])
def test_a_refusal_of_a_proxy_says_nothing_of_an_object(status: int, body: bytes) -> None:
    """Taken for the engine's, a 404 would make a removal that never came about count as done."""
    error = faults.from_response(ENDPOINT, status, body)
    assert (error.code, error.passing) == (ErrorCode.REQUEST_REFUSED, False)
    assert f"status {status}" in error.problems[0].why
    assert "proxy" in error.problems[0].hint


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_engine_that_restarts_behind_a_proxy_is_away(status: int) -> None:
    error = faults.from_response(ENDPOINT, status, b"<html>No server is available to handle this request.</html>")
    assert (error.code, error.passing) == (ErrorCode.ENGINE_UNREACHABLE, True)
    assert f"status {status}: <html>No server is available" in error.problems[0].why


def test_an_engine_that_wants_tls_says_so() -> None:
    error = faults.from_response(ENDPOINT, 400, b"Client sent an HTTP request to an HTTPS server.\n")
    assert error.code is ErrorCode.ENGINE_UNREACHABLE
    assert "DOCKER_TLS_VERIFY" in error.problems[0].hint


def test_a_long_message_is_cut() -> None:
    error = faults.from_response(ENDPOINT, 500, b"x" * 100_000)
    assert len(error.problems[0].why) < 2_000


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (FileNotFoundError(2, "No such file"), "no socket /engine.sock"),
        (PermissionError(13, "Permission denied"), "may not open"),
        (ConnectionRefusedError(111, "refused"), "refused"),
        (ConnectionResetError(104, "reset"), "hung up"),
        (TimeoutError("timed out"), "in time"),
    ],
)
def test_the_cause_is_found_however_deep_it_is_wrapped(cause: Exception, said: str) -> None:
    assert said in faults.from_exception(ENDPOINT, wrapped(cause)).problems[0].why


def test_a_forbidden_socket_names_the_group_to_join() -> None:
    forbidden = wrapped(PermissionError(13, "denied"))
    assert "`docker` group" in faults.from_exception(ENDPOINT, forbidden).problems[0].hint


def wrapped(cause: Exception) -> Exception:
    outer, middle = http.client.HTTPException("Connection aborted."), OSError("aborted")
    middle.__context__ = cause
    outer.__cause__ = middle
    return outer
