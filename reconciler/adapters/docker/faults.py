"""What the engine and the network answer instead of success, as errors that a user reads.

Everything is mapped here, once. No message holds a request's body: that is where secrets are.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator

from reconciler.adapters.docker.dialing import SshFailed, TlsIncomplete
from reconciler.adapters.docker.endpoints import Endpoint
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonValue

RPC_PREFIX = re.compile(r"^(?:rpc error: code = \w+ desc = )+")
MESSAGE_CHARACTERS_MAX = 1_000
CHAIN_LENGTH_MAX = 20

MAPPED = (http.client.HTTPException, OSError, ValueError, OverflowError, RecursionError)
"""Everything that a request can raise; the last two by lengths and JSON that are meant ill."""

_NOT_A_MANAGER = "This node is not a swarm manager."
_IN_USE = ("is in use by", "cannot be removed because service", "volume is in use")
_PORT_TAKEN = "is already in use by service"
"""An engine lets go of a port a moment after the update that took it from its service: the next try may succeed."""
_UNAVAILABLE = (
    "does not have a leader",
    "context deadline exceeded",
    "code = DeadlineExceeded",
    "code = Unavailable",
    "code = Canceled",
    "Manager is being prepared",
    "Swarm is encrypted and needs to be unlocked",
    "Swarm certificates have expired",
    "lost leader",
    "raft: ",
)

_AWAY_BEHIND_A_PROXY = frozenset({429, 502, 503, 504})
"""What a proxy answers while the engine behind it restarts or is too slow, or while there are too many requests."""


def from_response(endpoint: Endpoint, status: int, body: bytes) -> SwarmctlError:
    """Return the error that an answer without success stands for. (facts: swarmkit 7.1, 7.3, 7.4)"""
    message = _message(body)
    if message is None:
        return _of_another(endpoint, status, body)
    text = message or f"status {status}, without a message"
    state = _swarm_state(endpoint, status, text)
    if state is not None:
        return state
    said = RPC_PREFIX.sub("", text)
    if "update out of sequence" in text:
        return SwarmctlError(
            ErrorCode.STALE_VERSION,
            "Someone else changed the object since it was read.",
            why=f"The engine says: {said}",
            hint="Plan again: the next plan starts from what is there now.",
        )
    if any(sign in text for sign in _IN_USE):
        return SwarmctlError(ErrorCode.OBJECT_IN_USE, "The object is still used.", why=f"The engine says: {said}")
    if status == 404:
        return SwarmctlError(ErrorCode.OBJECT_NOT_FOUND, "The object is not there.", why=f"The engine says: {said}")
    if status == 409:
        return SwarmctlError(ErrorCode.NAME_CONFLICT, "The name is taken.", why=f"The engine says: {said}")
    return SwarmctlError(
        ErrorCode.REQUEST_REFUSED,
        "The engine refused the request.",
        why=f"The engine says: {said}",
        # Engines answer 500 to some lasting refusals as well.
        passing=(status >= 500 and status != 501) or _PORT_TAKEN in text,
    )


def _swarm_state(endpoint: Endpoint, status: int, text: str) -> SwarmctlError | None:
    """Return the error of an engine that cannot speak for a swarm now, or None when the request itself failed."""
    if any(sign in text for sign in _UNAVAILABLE) and status >= 500:
        hint = "Wait, or bring managers back: more than half of them must be online."
        if "unlock" in text:
            hint = "Unlock it with `docker swarm unlock`."
        elif "certificates have expired" in text:
            hint = "Have the node leave the swarm and join again."
        return SwarmctlError(
            ErrorCode.SWARM_UNAVAILABLE,
            f"The swarm of {endpoint.label} cannot answer now.",
            why=f"The engine says: {RPC_PREFIX.sub('', text)}",
            hint=hint,
            passing="unlock" not in text and "expired" not in text,
        )
    if _NOT_A_MANAGER not in text:
        return None
    if "Worker nodes" in text:
        return SwarmctlError(
            ErrorCode.NOT_A_MANAGER,
            f"{endpoint.label} is a worker.",
            why="Only managers can read or change a swarm.",
            hint="Point DOCKER_HOST, --host or --context at a manager, or promote this node there.",
        )
    return SwarmctlError(
        ErrorCode.NOT_IN_A_SWARM,
        f"{endpoint.label} is not in a swarm.",
        why="Its engine runs without swarm mode.",
        hint="Start one with `docker swarm init`, join one with `docker swarm join`, or choose another engine.",
    )


def _of_another(endpoint: Endpoint, status: int, body: bytes) -> SwarmctlError:
    """Return the error of an answer that is not the engine's own: of a proxy before it, or of another server.

    It says nothing of objects: to a proxy 404 is a way that it does not know, and 409 a conflict of its own.
    """
    said = _one_line(body.decode(errors="replace"))
    if "HTTP request to an HTTPS server" in said:
        return SwarmctlError(
            ErrorCode.ENGINE_UNREACHABLE,
            f"No Docker Engine answers at {endpoint.label}.",
            why="What listens there speaks TLS, and was not spoken to in TLS.",
            hint="Set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem.",
        )
    is_away = status in _AWAY_BEHIND_A_PROXY
    return SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE if is_away else ErrorCode.REQUEST_REFUSED,
        f"No Docker Engine answers at {endpoint.label}."
        if is_away
        else "Something else than the engine refused the request.",
        why=f"A proxy before the engine, or another server, answers with status {status}{f': {said}' if said else ''}",
        hint="See whether the engine runs, and whether the proxy reaches it."
        if is_away
        else "See whether the address is right, and what a proxy before the engine lets through.",
        passing=is_away or (status >= 500 and status != 501),
    )


def _message(body: bytes) -> str | None:
    """Return the engine's message, on one line and of bounded length; None for what no engine answers."""
    try:
        parsed: JsonValue = json.loads(body)
    except ValueError:
        return None
    message = parsed.get("message") if isinstance(parsed, dict) else None
    return _one_line(message) if isinstance(message, str) else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARACTERS_MAX]


def from_exception(endpoint: Endpoint, error: BaseException) -> SwarmctlError:
    """Return the error for a request that got no usable answer: engine-unreachable, with what is known of why."""
    why, hint = _reason(endpoint, error)
    return SwarmctlError(
        ErrorCode.ENGINE_UNREACHABLE, f"No Docker Engine answers at {endpoint.label}.", why=why, hint=hint, passing=True
    )


def _reason(endpoint: Endpoint, error: BaseException) -> tuple[str, str]:
    """Return (why, hint) from the most telling exception of the chain."""
    chain = tuple(_chain(error))
    for found in chain:
        reason = _by_cause(endpoint, found)
        if reason is not None:
            return reason
    if any(isinstance(found, TimeoutError) for found in chain):
        return "It did not answer in time.", "See whether it is overloaded, or raise SWARMCTL_REQUEST_TIMEOUT."
    innermost = next((found for found in chain if isinstance(found, OSError) and found.strerror), None)
    if innermost is not None:
        return f"{innermost.strerror}.", "See whether the engine runs and the address is right."
    if any(isinstance(found, http.client.IncompleteRead) for found in chain):
        return "Its answer broke off.", "See whether the engine is restarting, then run the command again."
    if not isinstance(error, OSError):
        return "Its answer is not that of a Docker Engine.", "See whether the address is right."
    return f"{error or type(error).__name__}.", "See whether the engine runs and the address is right."


def _by_cause(endpoint: Endpoint, found: BaseException) -> tuple[str, str] | None:
    """Return (why, hint) when this one exception tells the cause, else None."""
    if isinstance(found, SshFailed):
        return f"ssh says: {found}", "Try `ssh HOST docker version` with the same user; the key must need no password."
    if isinstance(found, ssl.SSLError):
        told = getattr(found, "verify_message", "") or getattr(found, "reason", "") or str(found) or "without a reason"
        reason = told if hasattr(found, "verify_message") else told.replace("_", " ").lower()
        return f"TLS failed: {reason}.", "Check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH or the context."
    if isinstance(found, TlsIncomplete):
        return f"TLS files are incomplete: {found}.", "Give ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH."
    if isinstance(found, FileNotFoundError) and endpoint.scheme == "unix":
        return f"There is no socket {endpoint.path}.", "Start the engine, or set DOCKER_HOST."
    if isinstance(found, PermissionError) and endpoint.scheme == "unix":
        return f"This user may not open {endpoint.path}.", "Join the `docker` group, or run as root."
    if isinstance(found, ConnectionRefusedError):
        return "The connection was refused: nothing listens there.", "Start the engine, or set DOCKER_HOST."
    if isinstance(found, (ConnectionResetError, BrokenPipeError)):
        return _hung_up(endpoint)
    if isinstance(found, socket.gaierror):
        return f"The name {endpoint.parts.hostname} cannot be resolved.", "Check the host's name and your DNS."
    return None


def _hung_up(endpoint: Endpoint) -> tuple[str, str]:
    if endpoint.tls is not None:
        return (
            "TLS failed: the server hung up, as servers do on a client whose certificate they don't accept.",
            "Check cert.pem and key.pem in DOCKER_CERT_PATH or the context.",
        )
    if endpoint.scheme == "tcp":
        return "It hung up without an answer.", "If it speaks TLS, set DOCKER_TLS_VERIFY=1."
    return "It hung up without an answer.", "See whether the engine is restarting, then run the command again."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all that it wraps or follows."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < CHAIN_LENGTH_MAX:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [other for other in (found.__cause__, found.__context__) if other is not None]
