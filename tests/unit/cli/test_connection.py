"""Signals that end what a command waits for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest
import typer

from reconciler.cli.connection import _ending_when_told
from reconciler.model.errors import ExitCode


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


async def struck(number: signal.Signals) -> str:
    signal.raise_signal(number)
    await asyncio.sleep(0.2)
    return "done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGHUP, ExitCode.HUNG_UP)])
def test_a_signal_ends_it_with_its_exit_code(number: signal.Signals, code: ExitCode):
    with pytest.raises(typer.Exit) as ended:
        asyncio.run(_ending_when_told(struck(number)))
    assert ended.value.exit_code == code
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_is_ignored_as_under_nohup_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert asyncio.run(_ending_when_told(struck(signal.SIGHUP))) == "done"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
