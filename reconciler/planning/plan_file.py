"""A Plan as a file: `diff --out plan.json` writes it, and `apply plan.json` carries out that plan or none.

The file can be kept, shown and passed on, so it holds no secret, and hence not what is sent to the swarm either. It
holds how to make the plan again, and by what to tell that the same comes out: the commit, the registries' answers,
the version of every object that is touched, and one slow hash over everything that would be written.
docs/decisions/0013-plan-files.md says what else was weighed.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Final

from reconciler.model.actual import ActualState
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.images import ImageAnswers
from reconciler.model.json import JsonObject
from reconciler.model.plan import Plan
from reconciler.planning import plan_file_fields, render_json
from reconciler.planning.plan_file_check import check_fresh, proof_of, proof_salt, saved_object
from reconciler.planning.plan_file_fields import Malformed, PlanSource, SavedObject, SavedPlan

__all__ = ["PlanSource", "SavedObject", "SavedPlan", "check_fresh", "decode", "encode", "is_plan_file"]

FORMAT_KEY: Final = "swarmctl_plan_file"
FORMAT_VERSION: Final = 1

CHARACTERS_MAX: Final = 64 * 1024 * 1024
"""A plan of 10,000 services takes about a third of it."""

_ENDING: Final = re.compile(r',\n  "checksum": "sha256:([0-9a-f]{64})"\n\}\n')
_ENDING_CHARACTERS: Final = len(',\n  "checksum": "sha256:"\n}\n') + 64
_BEGINNING: Final = f'{{\n  "{FORMAT_KEY}":'


def is_plan_file(text: str) -> bool:
    """Return whether `text` begins as a plan file does, be it sound or not."""
    return f'"{FORMAT_KEY}"' in text[:200]


def encode(
    plan: Plan, source: PlanSource, actual: ActualState, images: ImageAnswers, created_at: datetime, version: str
) -> str:
    """Return the text of a plan file. `created_at` is aware UTC, `version` is swarmctl's own."""
    created = created_at.isoformat(timespec="seconds")
    content = {
        FORMAT_KEY: FORMAT_VERSION,
        "swarmctl_version": version,
        "created_at": created,
        "cluster": {"endpoint": actual.endpoint, "swarm_id": actual.swarm.id},
        "source": plan_file_fields.source_fields(source),
        "commit": plan.commit,
        "images": {image: plan_file_fields.answer_fields(answer) for image, answer in sorted(images.items())},
        "objects": [plan_file_fields.object_fields(saved_object(action, actual)) for action in plan.actions],
        "proof": proof_of(plan, proof_salt(created, actual.swarm.id)),
        "plan": render_json.render(plan),
    }
    # ASCII, so that nothing on the way can change how a character is written.
    body = json.dumps(content, indent=2).removesuffix("\n}")
    return f'{body},\n  "checksum": "sha256:{_sha256(body)}"\n}}\n'


def decode(text: str) -> SavedPlan:
    """Return what a plan file says. Raises SwarmctlError (plan-file-invalid) when it is not as `encode` left it.

    The checksum tells an accident or an edit, not a forger: whoever can write the file can write a right one. What is
    carried out is a plan made anew from the manifests, never something that only the file says.
    """
    if len(text) > CHARACTERS_MAX:
        raise _invalid("It is too large.", f"It has {len(text)} characters; no plan has more than {CHARACTERS_MAX}.")
    content = _parsed(text)
    version = content[FORMAT_KEY]
    if version != FORMAT_VERSION or isinstance(version, bool):
        by = content.get("swarmctl_version")
        raise _invalid(
            "It was made by another version of swarmctl.",
            f"Its format is {json.dumps(version)[:40]}{f' (swarmctl {by[:40]})' if isinstance(by, str) else ''}, "
            f"this swarmctl reads {FORMAT_VERSION}.",
        )
    ending = _ENDING.fullmatch(text, max(0, len(text) - _ENDING_CHARACTERS))
    if ending is None or _sha256(text[: -len(ending[0])]) != ending[1]:
        raise _invalid("It was edited.", "Its checksum does not fit its content, to which line ends and spaces belong.")
    try:
        return plan_file_fields.read_plan(content)
    except Malformed as error:
        raise _invalid("It was not made by swarmctl.", f"`{error}` is missing, or not what swarmctl writes.") from error


def _parsed(text: str) -> JsonObject:
    """Return the JSON object of a plan file whose format is not known yet, or raise what is wrong with it."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not text.strip():
            raise _invalid("It is empty.", "Perhaps it was never written to its end.") from error
        if text.startswith(_BEGINNING) and not _ENDING.search(text[-_ENDING_CHARACTERS:]):
            raise _invalid("It is truncated or was edited.", "Its end, with the checksum, is missing.") from error
        raise _invalid("It is no JSON.", _where(error)) from error
    if isinstance(content, dict) and FORMAT_KEY in content:
        return content
    if isinstance(content, dict) and {"format_version", "actions"} <= content.keys():
        raise _invalid("It is a plan to read.", "`diff --format json` printed it; `diff --out` makes one to apply.")
    raise _invalid("It is no plan file.", f"It is JSON, and has no `{FORMAT_KEY}`.")


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, in line {error.lineno}, column {error.colno}."
    return "It holds what no plan file does: a number too long, or brackets too deep."


def _invalid(what: str, why: str) -> SwarmctlError:
    return SwarmctlError(
        ErrorCode.PLAN_FILE_INVALID,
        f"The plan file can't be used. {what}",
        why=why,
        hint="Make a new one: `swarmctl diff --out FILE`.",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
