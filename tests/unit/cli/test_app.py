"""How commands end: exit codes, and a message instead of a traceback whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, ExitCode, SwarmctlError
from reconciler.wiring import Wiring


def run_with(load, *arguments: str, home: str = "/root") -> int:
    """Run a command whose loading of manifests is `load`."""
    outside = Wiring(settings.read({"HOME": home}))
    terminal = Terminal(color=False)

    class Loading:
        def __getattr__(self, name: str):
            return getattr(outside, name)

        def load(self, source):
            return load()

    return app.run(app.build(Loading(), terminal, arguments), terminal, arguments)


def fails_with(error: BaseException):
    def load():
        raise error

    return load


def test_an_unknown_failure_is_told_without_its_message(capsys: pytest.CaptureFixture[str]):
    code = run_with(fails_with(ValueError("password=hunter2")), "validate")
    shown = capsys.readouterr()
    assert code == ExitCode.ERROR
    assert "[internal]" in shown.err
    assert "ValueError" in shown.err
    assert "hunter2" not in shown.err + shown.out
    assert "Traceback" not in shown.err


def test_an_interruption_ends_with_130_and_says_so(capsys: pytest.CaptureFixture[str]):
    assert run_with(fails_with(KeyboardInterrupt()), "validate") == ExitCode.INTERRUPTED
    assert "[interrupted]" in capsys.readouterr().err


def test_an_error_shows_code_reason_and_hint(capsys: pytest.CaptureFixture[str]):
    error = SwarmctlError(ErrorCode.FILE_TOO_LARGE, "It is too large.", why="5 MiB.", hint="Make it smaller.")
    assert run_with(fails_with(error), "diff") == ExitCode.ERROR
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("Error: It is too large. [file-too-large]", "why:  5 MiB.", "hint: Make it smaller."):
        assert part in shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("diff", "--no-such-option"),
        ("diff", "a", "b"),
        ("apply", "--timeout", "soon"),
        ("schema", "chart"),
        ("up", "--nodes", "0"),
        ("diff", "--host", "unix:///x", "--context", "y"),
        ("diff", "--backend", "embedded", "--host", "unix:///x"),
        ("status", ".", "--controller", "unix:///x"),
        ("status", "--revision", "main", "--controller", "unix:///x"),
        ("status", "--host", "unix:///x", "--controller", "unix:///y"),
        ("token", "rotate", "--role", "worker", "--host", "unix:///x", "--controller", "unix:///y"),
    ],
)
def test_wrong_usage_ends_with_1_and_never_with_the_2_of_diff(arguments, capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None, *arguments) == ExitCode.ERROR
    shown = capsys.readouterr()
    assert "[usage]" in shown.err
    assert "hint:" in shown.err


@pytest.mark.parametrize("which", [("--base", ""), ("--base", "x", "--head", ""), ("--revision", "")])
def test_an_empty_revision_is_not_taken_for_none(which: tuple[str, ...]):
    asked: list[str | None] = []
    outside = Wiring(settings.read({"HOME": "/root"}))
    terminal = Terminal(color=False)

    class Noting:
        def __getattr__(self, name: str):
            return getattr(outside, name)

        def load(self, source):
            asked.append(source.revision)
            if source.revision == "":
                raise SwarmctlError(ErrorCode.REVISION_NOT_FOUND, "No such revision.")

    arguments = ("diff", *which, *(("--offline",) if "--base" in which else ()))
    assert app.run(app.build(Noting(), terminal, arguments), terminal, arguments) == ExitCode.ERROR
    assert "" in asked


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None) == ExitCode.OK
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "meant"), [("plan", "`swarmctl diff`"), ("deploy", "`swarmctl apply`"), ("aply", "'apply'"), ("xyzzy", "")]
)
def test_a_word_of_another_tool_is_answered_with_ours(word: str, meant: str, capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None, word) == ExitCode.ERROR
    shown = capsys.readouterr().err
    assert f"No such command '{word}'." in shown
    assert (f"Did you mean {meant}?" in shown) if meant else ("Did you mean" not in shown)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--nodes", "x"), "'--nodes' / '-n': it must be a whole number [usage]"),
        (("apply", "--timeout", "-1"), "'--timeout' / '-t': it must be greater than or equal to 0 [usage]"),
        (("render", "--format", "xml"), "'--format' / '-f': 'xml' is not one of 'text', 'json'. [usage]"),
        (("schema",), "Missing argument 'NAME'. It is one of: cluster, stack, plan, controller [usage]"),
    ],
)
def test_wrong_usage_is_told_in_one_line_and_in_our_words(arguments, said, capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None, *arguments) == ExitCode.ERROR
    assert capsys.readouterr().err.splitlines()[0].endswith(said)


def test_a_huge_value_is_not_repeated_whole(capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None, "render", "--format", "x" * 100_000) == ExitCode.ERROR
    assert len(capsys.readouterr().err) < 1_000


@pytest.mark.parametrize(
    "arguments", [("diff", "--out", "x" * 5_000), ("apply", "x" * 5_000), ("down", "--data-dir", "x" * 5_000)]
)
def test_a_path_that_cannot_be_looked_at_is_told_as_that(arguments, capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None, *arguments) == ExitCode.ERROR
    shown = capsys.readouterr().err
    assert "xxx… can't be reached. [file-unreadable]" in shown
    assert "why:  File name too long." in shown


def test_a_path_of_somebody_else_is_told_as_that(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)  # root may look everywhere
    assert run_with(lambda: None, "apply", "/root/plan.json") == ExitCode.ERROR
    assert "/root/plan.json can't be reached. [file-unreadable]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status", "--context", "\udcff"), "There is no docker context '\\udcff' with a Docker endpoint."),
        (("peers", "renew", ""), "NAME is empty. [usage]"),
        (("run", "--config", ""), "A file without a name can't be read. [file-unreadable]"),
        (("daemon", "--docker-host", ""), "The node's engine can't be ''. [bad-setting]"),
    ],
)
def test_empty_names_and_bytes_that_are_no_text_are_told(
    arguments, said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run_with(lambda: None, *arguments, home=str(tmp_path)) == ExitCode.ERROR
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("part", app.PARTS)
def test_every_part_is_listed_with_the_commands_that_it_registers(part: str):
    built = app.build(Wiring(settings.read({"HOME": "/root"})), Terminal(color=False), [app.PARTS[part][0]])
    names = [one.name or one.callback.__name__ for one in built.registered_commands]
    names += [str(group.name) for group in built.registered_groups]
    assert tuple(names) == app.PARTS[part]


def test_every_module_that_registers_commands_is_listed():
    folder = Path(app.__file__).parent
    registering = {file.stem for file in folder.glob("*.py") if "\ndef register(" in file.read_text()}
    assert registering == set(app.PARTS)


def test_a_word_that_is_no_command_sees_them_all(capsys: pytest.CaptureFixture[str]):
    assert run_with(lambda: None, "--help") == ExitCode.OK
    shown = capsys.readouterr().out
    for commands in app.PARTS.values():
        assert all(f"  {command} " in shown for command in commands)
