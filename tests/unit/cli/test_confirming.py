"""Whoever is asked and gives no yes has changed nothing, and is told just that."""

from __future__ import annotations

from typing import cast

import pytest

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.confirming import confirm
from reconciler.cli.ports import Outside as PortsOutside
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ExitCode
from reconciler.wiring import Wiring


class Asking(Terminal):
    """A terminal at which a person sits, who answers with `answer`, or by an exception."""

    def __init__(self, answer: str | type[BaseException]) -> None:
        super().__init__(color=False)
        self.answer = answer
        setattr(self.err, "input", self._input)  # noqa: B010 - a console's own would read the test's input

    @property
    def interactive(self) -> bool:
        return True

    def _input(self, _prompt: str) -> str:
        if isinstance(self.answer, str):
            return self.answer
        raise self.answer


def asked(answer: str | type[BaseException]) -> int:
    """Run a command that asks for nothing but a confirmation."""
    terminal = Asking(answer)

    class Outside:
        settings = Wiring(settings.read({"HOME": "/root"})).settings

        def load(self, _source):
            confirm(terminal, "Go on?", "Give --yes.")

    return app.run(
        app.build(cast(PortsOutside, Outside()), terminal, ["render"]), terminal, ["render", "--requests", "."]
    )


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ("no", ExitCode.ERROR, "[not-confirmed]"),
        ("", ExitCode.ERROR, "[not-confirmed]"),
        (EOFError, ExitCode.ERROR, "[not-confirmed]"),
        (KeyboardInterrupt, ExitCode.INTERRUPTED, "Error: Interrupted: nothing was changed. [interrupted]"),
    ],
)
def test_no_yes_changes_nothing(answer, code: ExitCode, told: str, capsys: pytest.CaptureFixture[str]):
    assert asked(answer) == code
    errors = capsys.readouterr().err
    assert told in errors
    assert "may have been carried out" not in errors
