"""Variables in swarm.yaml, which nobody fills in there: a warning, because stack files have theirs filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.manifests.document import Document
from reconciler.manifests.problems import KeyPath, ProblemList, key_path_text
from reconciler.model.errors import ErrorCode, Problem, Severity
from reconciler.model.json import JsonValue

_VARIABLE: Final = re.compile(r"\$\{[A-Za-z_]")


def warn_of_variables(document: Document, problems: ProblemList) -> None:
    """Warn of each value of `document` with a `${NAME}` in it."""
    for at, text in _texts(document.value, ()):
        if _VARIABLE.search(text):
            why = "Variables are filled in in stack files only: what a cluster is depends on no one's environment."
            hint = "Write the value itself, or generate swarm.yaml before it is committed."
            what = f"`{key_path_text(at)}` has a variable, which is taken as it stands."
            place = document.place(at)
            problems.add(Problem(ErrorCode.BAD_INTERPOLATION, what, why, hint, place, Severity.WARNING))


def _texts(value: JsonValue, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below, (*at, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _texts(below, (*at, index))
