"""JSON Schemas of what the API answers. A test holds every answer against its own."""

from __future__ import annotations

from typing import Final

from reconciler.model.json import JsonObject

_TEXT: Final[JsonObject] = {"type": "string"}
_NUMBER: Final[JsonObject] = {"type": "integer"}
_YES: Final[JsonObject] = {"type": "boolean"}
_TIME: Final[JsonObject] = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Final[JsonObject] = {"type": ["string", "null"], "format": "date-time"}


def _object(**fields: JsonObject) -> JsonObject:
    return {"type": "object", "properties": dict(fields), "required": list(fields), "additionalProperties": False}


def _list(one: JsonObject) -> JsonObject:
    return {"type": "array", "items": one}


def _maybe(one: JsonObject) -> JsonObject:
    return {"oneOf": [one, {"type": "null"}]}


_ROLE: Final[JsonObject] = {"enum": ["worker", "manager"]}
_DIFFERENCE: Final = _object(path=_TEXT, applied=_TEXT, found=_TEXT)
_CONDITION: Final = _object(type=_TEXT, status=_YES, reason=_TEXT, message=_TEXT, since=_TIME)
_SUSPENSION: Final = _object(since=_TIME, until=_MAYBE_TIME, by=_TEXT, reason=_TEXT)
_SOURCE: Final = _object(
    name=_TEXT,
    revision=_maybe(
        _object(
            commit=_TEXT, reference=_TEXT, author=_TEXT, subject=_TEXT, committed_at=_TIME, signer=_TEXT, rewritten=_YES
        )
    ),
    fault=_maybe(_object(code=_TEXT, what=_TEXT, why=_TEXT, hint=_TEXT, commit=_TEXT, passing=_YES)),
    since=_MAYBE_TIME,
    failures=_NUMBER,
    pass_seconds=_maybe(_NUMBER),
    suspended=_maybe(_SUSPENSION),
)
_SCOPE: Final = _object(
    source=_TEXT,
    kind={"enum": ["cluster", "stack", "node"]},
    name=_TEXT,
    conditions=_list(_CONDITION),
    applied=_maybe(_object(commit=_TEXT, at=_TIME)),
    failed=_maybe(_object(code=_TEXT, what=_TEXT, at=_TIME, failures=_NUMBER)),
    suspended=_maybe(_SUSPENSION),
)
_DRIFT: Final = _object(
    source=_TEXT, stack=_TEXT, object=_TEXT, since=_TIME, commit=_TEXT, differences=_list(_DIFFERENCE), healed=_YES
)
_INCIDENT: Final = _object(source=_TEXT, kind=_TEXT, subject=_TEXT, since=_TIME, flapping=_YES)

SCHEMAS: Final[dict[str, JsonObject]] = {
    "Error": _object(code=_TEXT, message=_TEXT, why=_TEXT, hint=_TEXT),
    "Health": _object(ok=_YES, why=_TEXT),
    "Status": _object(
        version=_TEXT,
        cluster=_TEXT,
        member=_TEXT,
        leader=_TEXT,
        epoch=_NUMBER,
        members=_list(
            _object(name=_TEXT, api=_TEXT, leads=_YES, trouble=_TEXT, behind=_maybe(_NUMBER), silent=_maybe(_NUMBER))
        ),
        last_pass=_MAYBE_TIME,
        sources=_list(_SOURCE),
        scopes=_list(_SCOPE),
        drifts=_list(_DRIFT),
        incidents=_list(_INCIDENT),
    ),
    "History": _object(
        applies=_list(
            _object(
                at=_TIME,
                commit=_TEXT,
                author=_TEXT,
                subject=_TEXT,
                scopes=_list(_TEXT),
                actions=_NUMBER,
                failed={"type": "object", "additionalProperties": _TEXT},
            )
        ),
        tickets=_list(_object(at=_TIME, role=_ROLE, hostname=_TEXT, by=_TEXT)),
    ),
    "Events": _object(
        events=_list(
            _object(
                number=_NUMBER, at=_TIME, kind=_TEXT, message=_TEXT, source=_TEXT, scope=_TEXT, commit=_TEXT, by=_TEXT
            )
        )
    ),
    "Trace": _object(
        service=_TEXT,
        task=_TEXT,
        task_state=_TEXT,
        node=_TEXT,
        stack=_TEXT,
        source=_TEXT,
        file=_TEXT,
        line=_NUMBER,
        commit=_TEXT,
        author=_TEXT,
        subject=_TEXT,
        applied_at=_MAYBE_TIME,
        drifted=_YES,
    ),
    "Ticket": _object(role=_ROLE, hostname=_TEXT, command=_TEXT, addresses=_list(_TEXT)),
    "Accepted": _object(accepted=_YES),
    "RolledBack": _object(accepted=_YES, commit=_TEXT),
}
