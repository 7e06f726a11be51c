"""The CLI's output in a form that two engines can be compared in: tables by column, JSON with sorted keys."""

from __future__ import annotations

import json
import re
from typing import Any

_PROGRESS = re.compile(r"^(overall progress:|\d+/\d+:|[a-z0-9]{12,25}: |verify: (Waiting|Detected))")
_HEADING = re.compile(r"^[A-Z][A-Z -]*(?:\s{2,}[A-Z][A-Z ]*)+\s*$")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
MASKED_KEYS = {
    "Plugins": "<PLUGINS>",
    "MemoryBytes": "<MEM>",
    "NanoCPUs": "<CPUS>",
    "EngineVersion": "<VERSION>",
    "Index": "<INDEX>",
    "CertIssuerPublicKey": "<B64>",
    "CertIssuerSubject": "<B64>",
    "time": "<TIME>",
    "timeNano": "<TIME>",
    "com.docker.network.driver.overlay.vxlanid_list": "<VXLAN>",
}

_TEXTS = (
    (re.compile(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}"), "<TOKEN>"),
    (re.compile(r"SWMKEY-1-[0-9A-Za-z+/]{43}"), "<KEY>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| \+0000 (?:UTC|utc))?"), "<TIME>"),
    (re.compile(r"\b(?:[Ll]ess than a second|[Aa]bout an? \w+|\d+ (?:second|minute|hour)s?) ago"), "<AGO>"),
    (re.compile(r"\b[0-9a-z]{25}\b"), "<ID>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<ID>"),
    (re.compile(r"^(?:[0-9a-z]{12}$|(?=[0-9a-z]*[0-9])[0-9a-z]{12}\b)"), "<ID>"),
)


def masked(text: str) -> str:
    """Return one line with ids, tokens and times masked."""
    for pattern, name in _TEXTS:
        text = pattern.sub(name, text)
    return text


def masked_json(value: Any, key: str = "") -> Any:
    """Return JSON with what differs between two machines masked."""
    if key in MASKED_KEYS and value is not None:
        return MASKED_KEYS[key]
    if key == "PID" and value:
        return "<PID>"
    if isinstance(value, dict):
        return {name: masked_json(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked_json(inner) for inner in value]
    if isinstance(value, str):
        if value.startswith("-----BEGIN CERTIFICATE"):
            return "<PEM>"
        if key == "Addr" and "/" in value:
            return "<CIDR>"
        return masked(value)
    return value


def shaped(text: str) -> list[str]:
    """Return output as comparable lines, ids and times masked."""
    parsed = _parsed(text)
    if isinstance(parsed, dict | list):
        return json.dumps(masked_json(parsed), indent=1, sort_keys=True).splitlines()
    text = _PEM.sub("<PEM>", text.replace("\r", "\n"))
    lines = [line.rstrip() for line in text.splitlines() if not _PROGRESS.match(line.strip())]
    shaped_lines: list[str] = []
    starts: list[int] = []
    versions, ids = -1, False
    for line in lines:
        if _HEADING.match(line):
            starts = [found.start() for found in re.finditer(r"(?:^|(?<=\s\s))[A-Z]", line)]
            versions = line.find("ENGINE VERSION")
            ids = re.match(r"(NETWORK )?ID\b", line) is not None
        one = _parsed(line)
        if isinstance(one, dict):
            shaped_lines.append(json.dumps(masked_json(one), sort_keys=True))
        elif starts:
            ends = [*starts[1:], None]
            cells = [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
            if ids:
                cells[0] = re.sub(r"^[0-9a-z]{12,25}\b", "<ID>", cells[0])
            if versions in starts and not _HEADING.match(line):
                cells[starts.index(versions)] = "<VERSION>"
            shaped_lines.append(" | ".join(masked(_unstarred(cell)) for cell in cells).rstrip(" |"))
        else:
            shaped_lines.append(masked(line))
    while shaped_lines and not shaped_lines[-1]:
        shaped_lines.pop()
    return shaped_lines


def _unstarred(cell: str) -> str:
    return re.sub(r"\s+\*$", " *", cell)


def _parsed(text: str) -> Any:
    if text[:1] not in "{[":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
