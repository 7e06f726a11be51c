"""Recorded deployments: a folder of real stack files, and a file of synthetic cases, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from reconciler.adapters.directory import DirectoryRevision
from reconciler.model.json import JsonObject
from reconciler.model.labels import STACK_NAMESPACE
from reconciler.model.revision import Revision
from tests.unit.manifests.builders import MemoryRevision

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CASE_STACK, CASE_FOLDER = "syn", "/w"
RECORDED_FOLDER = "/corpus"
HOME = "/root"


@dataclass(frozen=True)
class Entry:
    """One recorded `docker stack deploy`. `said` is its standard error; `requests` are None where none was made."""

    name: str
    revision: Revision
    files: tuple[str, ...]
    stack: str
    environment: dict[str, str]
    base_path: str
    accepted: bool
    said: str
    requests: list[JsonObject] | None = field(repr=False)
    hostname: str | None = None
    """Of a case that was only loaded: the hostname of its service `a`, which is what such cases are about."""


def corpus_entries(folder: Path) -> Iterator[Entry]:
    """Yield the entries of a corpus, each a folder with args, env and what Docker did in real/."""
    for place in sorted(path.parent for path in folder.glob("*/args")):
        base = f"{RECORDED_FOLDER}/{place.name}"
        environment = {"PATH": SEARCH_PATH, "HOME": HOME, "PWD": base}
        for line in (place / "env").read_text().splitlines() if (place / "env").exists() else ():
            name, found, value = line.partition("=")
            environment |= {name: value} if found else {}
        log = (place / "real" / "deploy.log").read_text()
        head, _, said = log.partition("--- stderr\n")
        requests = place / "real" / "requests.json"
        yield Entry(
            name=place.name,
            revision=DirectoryRevision(str(place.resolve()), place.name),
            files=tuple((place / "args").read_text().split()),
            stack=f"s{place.name[:3]}",
            environment=environment,
            base_path=base,
            accepted="--- rc 0\n" in head,
            said=said,
            requests=json.loads(requests.read_text()) if requests.exists() else None,
        )


def case_entries(file: Path) -> Iterator[Entry]:
    """Yield the synthetic cases. Where a case was only loaded, not deployed, that result counts."""
    for line in file.read_text().splitlines():
        case = json.loads(line)
        deployed = case.get("deploy_rc") is not None
        files = {**case["files"], **case["aux"]}
        yield Entry(
            name=case["name"],
            revision=MemoryRevision({path: text.encode() for path, text in files.items()}),
            files=tuple(case["files"]),
            stack=_stack_of(case.get("requests") or []),
            environment={"PATH": SEARCH_PATH, "HOME": HOME, "PWD": CASE_FOLDER, **case["env"]},
            base_path=CASE_FOLDER,
            accepted=not (case["deploy_rc"] if deployed else case["config_rc"]),
            said=(case["deploy_err"] if deployed else case["config_err"]) or "",
            requests=case["requests"] if deployed else None,
            hostname=None if deployed or case["config_rc"] else _hostname(case["config_out"]),
        )


def _hostname(loaded: str) -> str:
    return yaml.safe_load(loaded)["services"]["a"].get("hostname", "")


def _stack_of(requests: list[JsonObject]) -> str:
    """Return the name that a case was deployed under, which its requests tell."""
    return next((request["body"]["Labels"][STACK_NAMESPACE] for request in requests), CASE_STACK)
