"""ask.py METHOD PATH [BODY [TYPE]]: what the API at $DOCKER_HOST answers: status, type, and JSON an object a line.

With KEYS as METHOD: which fields the JSON has, and of what types, without their values.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from typing import Any


def asked(method: str, path: str, body: str | None, kind: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("docker", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    headers = {"Content-Type": kind} if kind else {}
    connection.request(method, path, None if body is None else body.encode(), headers)
    answer = connection.getresponse()
    return answer, answer.read().decode("utf-8", "replace")


def fields(value: Any, path: str = "") -> list[str]:
    """Return `path: type` for each field. A list is known by its first value, and no fields of tables are told."""
    if isinstance(value, dict) and value and not path.endswith(("Labels", "Runtimes")):
        return [line for key in sorted(value) for line in fields(value[key], f"{path}.{key}")]
    if isinstance(value, list) and value:
        return fields(value[0], f"{path}[]")
    return [f"{path}: {'null' if value is None else type(value).__name__}"]


def main(method: str, path: str, body: str | None = None, kind: str = "application/json") -> None:
    answer, text = asked("GET" if method == "KEYS" else method, path, body, kind)
    print(answer.status, answer.headers.get("Content-Type", "no type"))
    try:
        found = json.loads(text)
    except ValueError:
        print(text.rstrip("\n"))
        return
    if method == "KEYS":
        print("\n".join(fields(found)))
    elif isinstance(found, list):
        print("\n".join(["a list", *(json.dumps(one, sort_keys=True) for one in found)]))
    else:
        print(json.dumps(found, sort_keys=True))


main(*sys.argv[1:])
