"""The swarmctl program: settings in, wiring built, one command run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ExitCode, SwarmctlError
from reconciler.wiring import Wiring


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one swarmctl command and return its exit code. `arguments` None means those of the process."""
    try:
        chosen = settings.read()
    except SwarmctlError as error:
        Terminal().problems(error.problems)
        return ExitCode.ERROR
    terminal = Terminal(chosen.color)
    return app.run(app.build(Wiring(chosen), terminal), terminal, arguments)


if __name__ == "__main__":
    sys.exit(main())
