"""A running controller's answers as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from reconciler.cli.tables import InertTable, titled
from reconciler.cli.terminal import Terminal
from reconciler.model.json import JsonObject
from reconciler.model.plan import NO_STACK

SILENT_S = 5
"""Seconds after which a controller that is not heard is shown: they hear each other several times a second."""
LONG_PASS_S = 10
"""Seconds after which a pass that is under way is shown: what stands below may be as old."""
STYLES = {"Ready": "green", "Reconciling": "yellow", "Stalled": "red", "Drifted": "yellow"}


def status(terminal: Terminal, found: JsonObject) -> None:
    """Print where everything stands."""
    leads = found["leader"] or "nobody"
    terminal.say(f"Cluster {found['cluster'] or '-'}: {leads} leads (asked {found['member']})", "bold")
    _troubles(terminal, found)
    sources = titled("SOURCE", "COMMIT", "REFERENCE", "SUBJECT", "FAULT")
    for one in found["sources"]:
        revision, fault = one["revision"] or {}, one["fault"] or {}
        commit = str(revision.get("commit", ""))[:12]
        sources.add_row(
            one["name"],
            commit,
            f"{revision.get('reference', '')}{' (rewritten)' if revision.get('rewritten') else ''}",
            revision.get("subject", ""),
            Text(_fault(fault), style="red"),
        )
    terminal.out.print(sources)
    stacks = titled("STACK", "SOURCE", "STATE", "REASON", "APPLIED", "MESSAGE")
    nodes = titled("NODE", "STATE", "REASON", "MESSAGE")
    for one in _each_once(found["scopes"]):
        state, reason, message = _standing(one)
        styled = Text(state, style=STYLES[state])
        if one["kind"] == "node":
            nodes.add_row(one["name"], styled, reason, message)
        else:
            commit = str((one["applied"] or {}).get("commit", ""))[:12]
            told = message if reason == "suspended" else f"{message} {_suspended(one['suspended'])}".strip()
            stacks.add_row(one["name"] or NO_STACK, one["source"], styled, reason, commit, told)
    for table in (stacks, nodes):
        if table.row_count:
            terminal.say()
            terminal.out.print(table)
    _drifts(terminal, found["drifts"])


def _troubles(terminal: Terminal, found: JsonObject) -> None:
    """Print what makes the rest incomplete, or old: controllers that are behind, passes that last."""
    for one in found["members"]:
        if trouble := one.get("trouble"):  # an older controller does not tell
            behind = f" by {one['behind']} changes" if one["behind"] else ""
            terminal.say(f"Controller {one['name']} can't follow, and is behind{behind}: {trouble}", "red")
        elif (silent := one.get("silent") or 0) >= SILENT_S:
            terminal.say(f"Controller {one['name']} was not heard for {silent} s.", "red")
    for one in found["sources"]:
        if (lasts := one.get("pass_seconds") or 0) >= LONG_PASS_S:
            terminal.say(f"A pass over {one['name']} has lasted {lasts} s: the cluster is slow, or silent.", "yellow")


def _each_once(scopes: Sequence[JsonObject]) -> Iterator[JsonObject]:
    """Yield scopes, but a node that several sources see only once, and then what is wrong with it."""
    ready = [one for one in scopes if one["kind"] == "node" and _standing(one)[0] == "Ready"]
    shown = {one["name"] for one in scopes if one["kind"] == "node" and one not in ready}
    for one in scopes:
        if one in ready and one["name"] in shown:
            continue
        if one["kind"] == "node":
            shown.add(one["name"])
        yield one


def _fault(fault: JsonObject) -> str:
    return f"{fault['code']}: {fault['what']} {fault['why']}".strip() if fault else ""


def _suspended(found: JsonObject | None) -> str:
    """Return who suspended a stack that has nothing to wait for yet, and why."""
    if not found:
        return ""
    until = f" until {_at(found['until'])}" if found["until"] else ""
    return f"Suspended by {found['by'] or 'somebody'}{until}{': ' if found['reason'] else '.'}{found['reason']}"


def _standing(scope: JsonObject) -> tuple[str, str, str]:
    """Return (state, reason, message) of the condition that is true; of Ready where none is."""
    conditions: Sequence[JsonObject] = scope["conditions"]
    true = next((one for one in conditions if one["status"]), None)
    if true is not None:
        return str(true["type"]), str(true["reason"]), str(true["message"])
    first = conditions[0] if conditions else {"reason": "", "message": ""}
    return "Drifted", str(first["reason"]), str(first["message"])


def _at(moment: str | None) -> str:
    """Return a moment to the second, as people read it: `--format json` has all of it."""
    return f"{moment[:19]}Z" if moment else ""


def _drifts(terminal: Terminal, drifts: Sequence[JsonObject]) -> None:
    if not drifts:
        return
    table = titled("DRIFT", "SINCE", "FIELD", "APPLIED", "FOUND")
    for one in drifts:
        for number, difference in enumerate(one["differences"] or [{"path": "", "applied": "", "found": ""}]):
            name, since = ("", "") if number else (one["object"], _at(one["since"]))
            table.add_row(name, since, difference["path"], difference["applied"], difference["found"])
    terminal.say()
    terminal.out.print(table)


def history(terminal: Terminal, found: JsonObject) -> None:
    """Print applies."""
    table = titled("AT", "COMMIT", "STACKS", "WRITES", "RESULT", "AUTHOR", "SUBJECT")
    for one in found["applies"]:
        failed = "; ".join(f"{scope or NO_STACK}: {why}" for scope, why in one["failed"].items())
        result = Text(failed or "ok", style="red" if failed else "green")
        stacks = " ".join(scope or NO_STACK for scope in one["scopes"])
        table.add_row(
            _at(one["at"]), one["commit"][:12], stacks, str(one["actions"]), result, one["author"], one["subject"]
        )
    terminal.out.print(table)
    if not found["applies"]:
        terminal.note("No such apply is remembered.")
    if found["tickets"]:
        given = titled("JOIN COMMAND GIVEN AT", "ROLE", "FOR", "TO")
        for one in found["tickets"]:
            given.add_row(_at(one["at"]), one["role"], one["hostname"], one["by"])
        terminal.say()
        terminal.out.print(given)


def events(terminal: Terminal, found: JsonObject) -> None:
    """Print what happened."""
    table = titled("NUMBER", "AT", "KIND", "STACK", "MESSAGE")
    for one in found["events"]:
        table.add_row(str(one["number"]), _at(one["at"]), one["kind"], one["scope"], one["message"])
    terminal.out.print(table)
    if not found["events"]:
        terminal.note("No such event is remembered.")


def trace(terminal: Terminal, found: JsonObject) -> None:
    """Print where something comes from."""
    table = InertTable(show_header=False)
    rows = [
        ("Task", f"{found['task']} ({found['task_state']}, on {found['node']})" if found["task"] else ""),
        ("Service", found["service"]),
        ("Stack", found["stack"]),
        ("Source", found["source"]),
        ("File", f"{found['file']}:{found['line']}" if found["file"] else ""),
        ("Commit", found["commit"]),
        ("Author", found["author"]),
        ("Subject", found["subject"]),
        ("Applied", _at(found["applied_at"])),
        ("Drifted", "yes: it is not what that commit asks for" if found["drifted"] else ""),
    ]
    for name, value in rows:
        if value:
            table.add_row(name, str(value))
    terminal.out.print(table)
    if not found["file"]:
        terminal.note("No source that this controller follows asks for it.", "yellow")
