"""Colour changes nothing of what is said, and a pipe gets exactly the text."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import re
import sys

import pytest
from hypothesis import given, settings

from reconciler.cli.progress import ProgressDisplay
from reconciler.cli.tables import titled
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, Problem
from reconciler.model.plan import Change, Origin
from reconciler.planning.render_text import render
from tests.unit.planning.plans import a_plan, an_update, place, plans

ANSI = re.compile(r"\x1b\[[0-9;]*m")
RED, GREEN = "\x1b[31m", "\x1b[32m"


def printed(text: str, *, color: bool) -> str:
    """What a pipe gets, with colour forced on it or without."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, "utf-8", newline="\n", write_through=True) as pipe, contextlib.redirect_stdout(pipe):
        Terminal(color=color).plan(text)
        return raw.getvalue().decode()


@settings(deadline=None, max_examples=40)
@given(plans)
def test_colour_changes_no_character(plan):
    text = render(plan, 100).replace("\t", " ")
    assert ANSI.sub("", printed(text, color=True)) == text


def test_what_goes_is_red_what_comes_is_green_and_places_are_dim():
    change = Change("Mode.Replicated.Replicas", 5, 3, origin=Origin.DRIFT, applied=3, place=place(9))
    lines = printed(render(a_plan(an_update(change))), color=True).splitlines()
    (line,) = [line for line in lines if "drift, stacks" in ANSI.sub("", line)]
    assert f"{RED}5" in line
    assert f"{GREEN}3" in line
    assert re.search(r"\x1b\[2[;m][^\x1b]*# drift, stacks/web.yaml:9", line)


def test_a_pipe_gets_tabs_as_they_are():
    assert printed("          +a\tb\n", color=False) == "          +a\tb\n"


def test_a_pipe_has_no_width(capsys: pytest.CaptureFixture[str]):
    assert Terminal().width is None


def test_an_encoding_that_lacks_a_character_gets_an_escape(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "latin-1"))
    terminal = Terminal(color=False)
    terminal.plan("… é\n")
    terminal.json({"name": "日é\ud800"})
    sys.stdout.flush()
    assert raw.getvalue().decode("latin-1") == '\\u2026 é\n{\n  "name": "\\u65e5\\u00e9\\ud800"\n}\n'


def test_without_colour_no_letter_is_bold_or_dim_either(monkeypatch: pytest.MonkeyPatch):
    told = io.StringIO()
    monkeypatch.setattr(told, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", told)
    monkeypatch.setattr(sys, "stderr", told)
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal(color=False)
    terminal.plan("  # service.web will be created\n      ~ a = 1 -> 2  # drift\nPlan: 1 to add\n")
    terminal.note("note", "bold")
    terminal.say("line", "bold green")
    assert "\x1b" not in told.getvalue()
    assert "~ a = 1 -> 2  # drift" in told.getvalue()


def test_a_table_shows_words_of_others_as_they_are(capsys: pytest.CaptureFixture[str]):
    """An engine's error in square brackets is no markup, which would be left out or, where it closes none, fail."""
    table = titled("SERVICE", "MESSAGE")
    table.add_row("web", 'exec: "a[/b]c[red]d[@click=x]:bug:"')
    Terminal(color=True).out.print(table)
    assert 'exec: "a[/b]c[red]d[@click=x]:bug:"' in ANSI.sub("", capsys.readouterr().out)


HOSTILE = "\x1b[31mred\x1b[0m \x1b[2J\x9b2K\rover \u202ebidi\u2066 \x07"
SHOWN = r"red \x1b[2J\x9b2K\rover \u202ebidi\u2066 \x07"


@pytest.mark.parametrize("color", [False, True])
def test_what_tasks_and_engines_say_acts_on_no_terminal(capsys: pytest.CaptureFixture[str], color: bool):
    terminal, table = Terminal(color=color), titled("MESSAGE")
    table.add_row(HOSTILE)
    terminal.note(f"  log:  {HOSTILE}", "dim")
    terminal.say(HOSTILE)
    terminal.out.print(table)
    terminal.problems([Problem(ErrorCode.TASKS_FAILING, HOSTILE, why=HOSTILE, hint=HOSTILE)])
    told = "".join(ANSI.sub("", text) for text in capsys.readouterr())
    assert told.count(SHOWN) == 6
    assert told.replace("\n", "").isprintable()


COMMANDS = (
    "::set-output name=x::y",
    " \t::add-mask::word",
    "why ##[set-output name=x]y",
    "##vso[task.setvariable variable=x]y",
    "##teamcity[buildStatus status='SUCCESS']",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_a_command_to_a_ci_job(capsys: pytest.CaptureFixture[str], command: str):
    terminal = Terminal(color=False)
    terminal.note(f"The engine says:\n{command}")
    terminal.say(command)
    terminal.plan(f"  + Data =\n          @@ -1,1 +1,2 @@\n           {command}\n          +more\n")
    terminal.json({"why": command})
    lines = "\n".join(capsys.readouterr()).splitlines()
    assert len(lines) > 9
    assert not [line for line in lines if line.lstrip().startswith("::") or re.search(r"##[a-z]*\[", line)]


def test_what_is_no_command_stays_as_it_is_and_json_says_the_same(capsys: pytest.CaptureFixture[str]):
    terminal, hosts = Terminal(color=False), "::1 localhost\n## Heading [1]\na::b::c\n# [client]\n"
    terminal.plan(hosts)
    assert capsys.readouterr().out == hosts
    terminal.json({"line": "##[error]x"})
    assert json.loads(capsys.readouterr().out) == {"line": "##[error]x"}


class GoneTerminal(io.StringIO):
    """What is left of a terminal that was closed."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_is_gone_fails_nothing_that_is_told_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", GoneTerminal())
    terminal = Terminal()
    with ProgressDisplay(terminal):
        terminal.note("service.web: updated", "green")
    terminal.problems([Problem(ErrorCode.TASKS_FAILING, "Service web fails.")])
