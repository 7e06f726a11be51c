"""Mangled requests on a daemon's socket by the thousand: `make fuzz-api [REQUESTS=10000] [SEED=1]`.

Each is a valid one of some route with a few places changed, in its body, its query or its very bytes; some are no HTTP
at all, come byte by byte, end in the middle, or are followed by silence. The daemon must answer or hang up within
ANSWER_WAIT_S, never with 500 for what a client did, and at the end it must be there, with no traceback in its log.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from reconciler.api.faults import STALE
from tests.conformance.wire import ask, path_of
from tests.e2e.daemon import a_daemon
from tests.unit.api.test_fuzz import a_request

ANSWER_WAIT_S = 60.0
"""Long, because the machine may be slow: a request that hangs takes longer than any."""
SLOW_PIECE_S = 0.002
RAW_SHARE = 0.3
PATIENCE_S = 0.1
READ_BYTES = 64 * 1024
WAYS = ("mangled", "cut", "slow", "half-closed", "twice")
# fmt: off
PIECES = (
    b"\r\n", b"\n", b"\0", b" ", b"\t", b":", b"HTTP/1.1", b"HTTP/9.9", b"HTTP/1.0", b"%00", b"%", b"\xff\xfe",
    b"/../..", b"?", b"#", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999\r\n", b"Connection: Upgrade\r\nUpgrade: tcp\r\n", b"Expect: 100-continue\r\n",
    b"Host: \r\n", b"0\r\n\r\n", b"ffffffffffffffffff\r\n", b"X: " + b"x" * 70_000 + b"\r\n",
    b"Content-Encoding: gzip\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
)
# fmt: on


@dataclass
class Found:
    """How the requests ended, and what was wrong with any."""

    endings: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def fuzz(host: str, count: int, seed: int) -> Found:
    """Send so many requests to a daemon that is in a swarm, or in none."""
    chance = random.Random(seed)
    found = Found()
    version = 0
    for number in range(count):
        if number % 20 == 0:
            version = _version(host)
        content = _request(chance, version)
        way = "whole"
        if chance.random() < RAW_SHARE:
            content, way = _mangled(chance, content), chance.choice(WAYS)
        began = time.monotonic()
        answer = _sent(chance, host, content, way)
        if time.monotonic() - began > ANSWER_WAIT_S or answer is None:
            found.wrong.append(f"request {number} ({way}) hangs: {content[:300]!r}")
        status = _status(answer or b"")
        found.endings[status or "hung up"] += 1
        if status == "500" and STALE.encode() not in (answer or b""):
            found.wrong.append(f"request {number} ({way}): {content[:2000]!r} -> {(answer or b'')[-300:]!r}")
    return found


def _version(host: str) -> int:
    answer = ask(host, "GET", "/services/web")
    if answer.status != 200:
        answer = ask(host, "GET", "/swarm")
    return int(answer.json["Version"]["Index"]) if answer.status == 200 else 0


def _request(chance: random.Random, version: int) -> bytes:
    method, path, options = a_request(chance, version)
    query = urlencode(options.get("params") or {}, errors="surrogatepass")
    body: bytes = options.get("data") or b""
    lines = [f"{method} {quote(path, safe='/%')}?{query} HTTP/1.1", "Host: docker"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _mangled(chance: random.Random, content: bytes) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at, gone = chance.randrange(len(content) + 1), chance.choice((0, 0, 1, 5, 40))
        piece = chance.choice((chance.choice(PIECES), chance.randbytes(chance.randint(1, 8))))
        content = content[:at] + piece + content[at + gone :]
    return content


def _sent(chance: random.Random, host: str, content: bytes, way: str) -> bytes | None:
    """Return what came back until the daemon hung up; None when nothing happened for too long.

    Our own side of a mangled request is closed for writing after a moment, so that the daemon is not left waiting for
    what a mangled length promises, or for a next request.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_WAIT_S)
        connection.connect(path_of(host))
        try:
            _write(chance, connection, content, way)
            if way == "cut":
                return b""
            if way == "whole":
                return _read(connection)
            readable = way != "half-closed" and select.select([connection], [], [], PATIENCE_S)[0]
            begun = connection.recv(READ_BYTES) if readable else b""
            connection.shutdown(socket.SHUT_WR)
            return begun + _read(connection)
        except TimeoutError:
            return None
        except OSError:
            return b""  # it hung up on us, which it may


def _write(chance: random.Random, connection: socket.socket, content: bytes, way: str) -> None:
    if way in ("cut", "half-closed"):
        connection.sendall(content[: chance.randrange(len(content) + 1)])
    elif way == "slow":
        for piece in content[:100]:
            connection.sendall(bytes([piece]))
            time.sleep(SLOW_PIECE_S)
        connection.sendall(content[100:])
    else:
        connection.sendall(content * (2 if way == "twice" else 1))


def _read(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(READ_BYTES):
        found += piece
    return found


def _status(answer: bytes) -> str:
    words = answer.split(b" ", 2)
    return words[1].decode("ascii", "replace") if len(words) > 1 and words[0].startswith(b"HTTP/") else ""


def traces(log: str) -> list[str]:
    """Return the lines of a daemon's log that no request may cause."""
    return [line for line in log.splitlines() if "Traceback" in line or " failed: " in line or "level=error" in line]


def fuzz_a_daemon(folder: Path, count: int, seed: int) -> Found:
    """Fuzz a daemon of its own, half of the requests outside a swarm and half in one, and look whether it is well."""
    with a_daemon(folder) as daemon:
        found = fuzz(daemon.host, count // 10, seed)
        if daemon.client.info()["Swarm"]["LocalNodeState"] == "inactive":
            daemon.init()
        inside = fuzz(daemon.host, count - count // 10, seed + 1)
        found.endings += inside.endings
        found.wrong += inside.wrong
        _look(daemon, found)
    return found


def _look(daemon: Any, found: Found) -> None:
    if daemon.process.poll() is not None:
        found.wrong.append("the daemon has ended")
    elif (told := ask(daemon.host, "GET", "/info")).status != 200:
        found.wrong.append(f"the daemon is not well: {told.body[:300]!r}")
    found.wrong += traces((daemon.folder / "log").read_text(errors="replace"))


def main() -> int:
    """Fuzz, print the totals; return 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="make fuzz-api", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fz-") as folder:
        began = time.monotonic()
        found = fuzz_a_daemon(Path(folder), chosen.requests, chosen.seed)
        took_s = time.monotonic() - began
    print(f"{found.endings.total()} requests in {took_s:.0f} s: {json.dumps(dict(found.endings.most_common()))}")
    print(f"{len(found.wrong)} wrong")
    print("\n".join(found.wrong[:20]))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
