"""One recorded deployment beside what we make of the same files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from reconciler.adapters.schema_files import read_schemas
from reconciler.manifests.load import LoadInputs, load_stack_file
from reconciler.manifests.requests import create_requests, docker_warnings
from reconciler.model.errors import Problem, SwarmctlError
from reconciler.model.objects import Kind
from tests.parity.compare import differences, plain
from tests.parity.entries import HOME, Entry
from tests.parity.faults import only_the_cluster_knows, same_fault

SCHEMAS = read_schemas()
LINES_MAX = 6
"""Differences of one entry that are shown."""
_LOGGED = re.compile(r'^time="[^"]*" level=warning msg="(.*)"$')
_BLOCKS = ("Ignoring unsupported options: ", "Ignoring deprecated options:")


@dataclass
class Result:
    """How an entry went. None means that the question does not arise."""

    entry: Entry
    requests_equal: bool | None = None
    value_equal: bool | None = None
    refused: bool | None = None
    same_fault: bool | None = None
    cluster_only: bool = False
    warnings_equal: bool | None = None
    misses: list[str] = field(default_factory=list)


def measure(entry: Entry) -> Result:
    """Load the entry's files as they were deployed and compare."""
    result = Result(entry)
    inputs = LoadInputs(SCHEMAS, entry.environment, HOME, entry.base_path)
    try:
        desired = load_stack_file(entry.revision, entry.files[0], entry.stack, inputs, entry.files[1:])
    except SwarmctlError as error:
        _refused(result, error.problems)
        return result
    told = docker_warnings(desired.warnings)
    theirs = warnings_said(entry.said)
    lines = sorted(line for text in told for line in text.splitlines() if line)
    result.warnings_equal = lines == theirs
    if not result.warnings_equal:
        result.misses += [f"warnings: ours {lines}, docker's {theirs}"]
    if not entry.accepted:
        result.cluster_only = only_the_cluster_knows(entry.said)
        result.refused = result.same_fault = False
        result.misses += [f"docker refuses: {_fault_said(entry.said)}"]
        return result
    if entry.requests is None:
        ours = desired.of_kind(Kind.SERVICE)[0].spec["TaskTemplate"]["ContainerSpec"].get("Hostname", "")
        result.value_equal = ours == entry.hostname
        if not result.value_equal:
            result.misses += [f"hostname: ours {ours!r}, docker's {entry.hostname!r}"]
        return result
    lines = list(differences(plain(create_requests(desired, with_secrets=True)), plain(entry.requests)))
    result.requests_equal = not lines
    result.misses += lines[:LINES_MAX]
    return result


def _refused(result: Result, problems: tuple[Problem, ...]) -> None:
    entry = result.entry
    shown = [f"ours: {one.what} {one.why} [{one.code}] at {one.place}" for one in problems[:LINES_MAX]]
    if entry.accepted:
        result.requests_equal = False
        result.misses += ["docker accepts", *shown]
        return
    result.refused = True
    result.cluster_only = only_the_cluster_knows(entry.said)
    result.same_fault = same_fault(entry.said, problems)
    if not result.same_fault:
        result.misses += [f"docker: {_fault_said(entry.said)}", *shown]


def _fault_said(said: str) -> str:
    lines = [line for line in said.splitlines() if line and not _LOGGED.match(line)]
    return " | ".join(lines[-3:])


def warnings_said(said: str) -> list[str]:
    """Return the lines of docker's warnings in what it said, sorted: the order of some is random."""
    lines: list[str] = []
    in_deprecated = False
    for line in said.splitlines():
        logged = _LOGGED.match(line)
        if logged:
            lines.append(logged[1])
        elif line.startswith(_BLOCKS):
            lines.append(line)
            in_deprecated = line.startswith(_BLOCKS[1])
        elif in_deprecated and line.startswith(("container_name: ", "expose: ")):
            lines.append(line)
    return sorted(line.rstrip() for line in lines)
