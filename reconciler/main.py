"""The swarmctl program: settings in, wiring built, one command run."""

# Until a command runs there is nothing to put back: a Ctrl-C during the imports just ends the process,
# as it ends any other program, instead of showing where in the imports it struck. First of all, by what is built in:
# before it comes no file that would have to be read.
import _signal  # type: ignore[import-not-found]

_interrupt_handler = _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from reconciler import __version__

GC_THRESHOLD = 50_000
"""New objects between two garbage collections, 700 by default. A load makes millions that stay: visiting them over
and over took a seventh of its time."""
BRIEF_GC_THRESHOLD = 1_000_000
"""The same for a command that ends: one collection while it still imports would take a twentieth of its start."""
LASTING = frozenset({"run", "daemon", "up"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one swarmctl command and return its exit code. `arguments` None means those of the process."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    _open_what_is_closed()
    # Imports make objects that stay: visiting them again and again would take a twentieth of the start.
    gc.disable()
    try:
        if words == ["--version"]:  # as scripts and other tools ask; needs nothing of what follows
            return _say_version()
        return _run(words)
    finally:
        gc.enable()


def _say_version() -> int:
    try:
        sys.stdout.write(f"swarmctl {__version__}\n")
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python itself would tell of what is left when it ends
        return 1
    return 0


def _open_what_is_closed() -> None:
    """Give the process the standard streams that whoever started it has closed: nothing comes in, and nobody reads."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open as long as the process


def _run(words: Sequence[str]) -> int:
    from reconciler import settings
    from reconciler.cli import app
    from reconciler.cli.terminal import Terminal
    from reconciler.model.errors import INTERRUPTIONS, ExitCode, SwarmctlError
    from reconciler.wiring import Wiring

    gc.enable()
    gc.set_threshold(GC_THRESHOLD if LASTING & set(words[:1]) else BRIEF_GC_THRESHOLD)
    try:
        chosen = settings.read()
    except SwarmctlError as error:
        Terminal().problems(error.problems)
        return ExitCode.ERROR
    terminal = Terminal(chosen.color)
    application = app.build(Wiring(chosen), terminal, words)
    signal.signal(signal.SIGINT, _interrupt_handler)
    code = app.run(application, terminal, words)
    if code in INTERRUPTIONS or words[:1] == ["run"]:
        _end_now(code)  # a controller that has ended is begun again only when its process is gone
    return code


def _end_now(code: int) -> None:
    """End the process without waiting for requests under way: an engine that hangs takes a minute for each."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
