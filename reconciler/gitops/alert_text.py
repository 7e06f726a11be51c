"""An alert as people read it in chat: a title and plain text, short enough for every kind of sink. Pure.

What the texts quote (commit subjects, names, live values) was written by others, so it is kept from calling a whole
channel and from hiding a link: `@everyone`, `<!channel>` and `](` lose their effect and keep their looks.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from reconciler.gitops.drifts import ADDED, REMOVED
from reconciler.model.alerts import Alert, AlertKind, AlertPhase, FieldDifference

BODY_CHARS_MAX: Final = 1900
"""Discord takes 2,000 characters, and no sink that people use takes less."""
TITLE_CHARS_MAX: Final = 200
MESSAGE_CHARS_MAX: Final = 600
LINE_CHARS_MAX: Final = 160
DIFFERENCES_MAX: Final = 8
"""Fields that are told one by one; the others are counted, and `swarmctl diff` shows them."""
COMMIT_CHARS: Final = 12


class Severity(enum.StrEnum):
    """How a sink may colour it."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


class AlertText(msgspec.Struct, frozen=True):
    """One message, ready to send."""

    title: str
    body: str
    severity: Severity


_HEADLINES: Final[Mapping[AlertKind, tuple[str, str]]] = {
    AlertKind.DEPLOYED: ("Deployed", "Deployed"),
    AlertKind.FAILED: ("Failed", "Works again"),
    AlertKind.ROLLED_BACK: ("Rolled back", "Works again"),
    AlertKind.DRIFT: ("Drift", "Healed"),
    AlertKind.NODE: ("Node trouble", "Node is back"),
    AlertKind.SOURCE: ("Source fails", "Source is back"),
    AlertKind.SIGNATURE: ("Signature refused", "Source is signed again"),
    AlertKind.MANIFESTS: ("Manifests are wrong", "Manifests are right again"),
    AlertKind.CLUSTER: ("Cluster does not answer", "Cluster answers again"),
    AlertKind.LEADER: ("Leader changed", "Leader changed"),
    AlertKind.TOKEN: ("Join token rotated", "Join token rotated"),
    AlertKind.CONTROLLER: ("Controller falls behind", "Controller has caught up"),
}
"""{kind: what its beginning is called, and its end}."""

_GRAVE: Final = frozenset(
    {
        AlertKind.FAILED,
        AlertKind.ROLLED_BACK,
        AlertKind.SOURCE,
        AlertKind.SIGNATURE,
        AlertKind.MANIFESTS,
        AlertKind.CLUSTER,
    }
)
_ABOUT: Final[Mapping[str, str]] = {"diff": "Look", "status": "Look", "history": "Look", "events": "Look"}


def alert_text(alert: Alert, cluster: str) -> AlertText:
    """Return the message for one alert of the cluster of that name."""
    title = f"[{_line(cluster)}] {_headline(alert)}: {_line(alert.subject)}"
    return AlertText(_cut(title, TITLE_CHARS_MAX), _body(alert), severity(alert))


def severity(alert: Alert) -> Severity:
    """Return how grave it is: what has ended well is a success, whatever it was."""
    if alert.phase is AlertPhase.RECOVERED or alert.kind is AlertKind.DEPLOYED:
        return Severity.SUCCESS
    if alert.phase is AlertPhase.NOTICE:
        return Severity.INFO
    return Severity.FAILURE if alert.kind in _GRAVE else Severity.WARNING


def _headline(alert: Alert) -> str:
    begins, ends = _HEADLINES[alert.kind]
    if alert.phase is AlertPhase.RECOVERED:
        return ends
    if alert.kind is AlertKind.DRIFT and _is_removed(alert):
        begins = "Gone"
    if alert.kind is AlertKind.DRIFT and _is(ADDED, alert):
        begins = "Not ours"
    if alert.phase is AlertPhase.FLAPPING:
        return f"{begins}, again and again"
    return f"{begins}, and more of it" if alert.phase is AlertPhase.GREW else begins


def _is_removed(alert: Alert) -> bool:
    return _is(REMOVED, alert)


def _is(path: str, alert: Alert) -> bool:
    return any(one.path == path for one in alert.differences)


def _body(alert: Alert) -> str:
    """Return the text; where it would be too long, fields give way, and never what to do."""
    after = _facts(alert)
    for count in range(min(len(alert.differences), DIFFERENCES_MAX), -1, -1):
        whole = _is_removed(alert) or _is(ADDED, alert)
        fields = [] if whole else _fields(alert.differences, count)
        body = "\n".join([_cut(_quiet(alert.message), MESSAGE_CHARS_MAX), *fields, "", *after])
        if len(body) <= BODY_CHARS_MAX or not count:
            return body[:BODY_CHARS_MAX]
    raise AssertionError("the last count is 0")


def _fields(differences: Sequence[FieldDifference], count: int) -> list[str]:
    lines: list[str] = []
    for one in differences[:count]:
        lines += ["", f"  {_line(one.path)}", f"    applied: {_line(one.applied)}", f"    found:   {_line(one.found)}"]
    more = len(differences) - count
    return [*lines, "", f"  and {more} more field{'s' if more > 1 else ''}"] if more else lines


def _facts(alert: Alert) -> list[str]:
    facts = [("Since", _moment(alert.since))]
    if alert.phase is AlertPhase.RECOVERED:
        facts = [("Lasted", f"{_lasting(alert)}, since {_moment(alert.since)}")]
    elif alert.phase is AlertPhase.NOTICE:
        facts = [("At", _moment(alert.at))]
    if alert.commit:
        by = f" by {_line(alert.author)}" if alert.author else ""
        facts.append((_commit_word(alert), f"{_line(alert.commit[:COMMIT_CHARS])}{by}"))
    if alert.next_step:
        facts.append(("Next", _cut(_quiet(alert.next_step), LINE_CHARS_MAX)))
    if alert.phase is AlertPhase.FLAPPING:
        facts.append(("Quiet", "Nothing more is said of it until it has kept still for an hour."))
    facts += _ways(alert)
    width = max(len(word) for word, _ in facts) + 2
    return [f"{word + ':':<{width}}{text}" for word, text in facts]


def _commit_word(alert: Alert) -> str:
    return "Last applied" if alert.kind is AlertKind.DRIFT else "Commit"


def _ways(alert: Alert) -> list[tuple[str, str]]:
    """Return what a reader may do: to accept, to revert, to look."""
    ways: list[tuple[str, str]] = []
    if alert.phase not in (AlertPhase.RECOVERED, AlertPhase.NOTICE):
        if alert.kind is AlertKind.DRIFT:
            what = "remove it from Git" if _is_removed(alert) else "swarmctl import --out DIR, and commit what differs"
            ways.append(("To accept", what))
        elif alert.kind in (AlertKind.FAILED, AlertKind.ROLLED_BACK) and alert.commit:
            ways.append(("To revert", f"git revert {_line(alert.commit[:COMMIT_CHARS])}"))
    for command in alert.commands:
        ways.append((_way(alert.kind, command), _line(command)))
    return ways


def _way(kind: AlertKind, command: str) -> str:
    verb = command.split()[1] if len(command.split()) > 1 else ""
    if verb == "sync":
        return "To revert" if kind is AlertKind.DRIFT else "To try again"
    if verb == "suspend":
        return "To keep it"
    return "To look" if verb in _ABOUT else "To do"


def _lasting(alert: Alert) -> str:
    seconds = max(0, int((alert.at - alert.since).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            rest = seconds % size
            below = {"d": ("h", 3600), "h": ("min", 60), "min": ("s", 1)}[unit]
            more = f" {rest // below[1]} {below[0]}" if rest // below[1] else ""
            return f"{seconds // size} {unit}{more}"
    return f"{seconds} s"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


_CALLS: Final = re.compile(r"@(?=(?:everyone|here|channel|all|room|team)\b)|<(?=[!@#])|\](?=\()", re.IGNORECASE)
_APART: Final = "\u200b"
"""A space without width: what a chat program looks for is no longer there, what a person reads is."""


def _quiet(text: str) -> str:
    """Return a text of somebody else's, without control characters and without a call to all."""
    shown = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return _CALLS.sub(lambda found: found[0] + _APART, shown).strip()


def _line(text: str) -> str:
    return _cut(plain(text), LINE_CHARS_MAX)


def plain(text: str) -> str:
    """Return somebody else's text as one line that is fit to print and calls nobody."""
    return _quiet(text.replace("\n", " "))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
