"""One sink's queue: order, tries, limits; and that nobody ever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.adapters.notify.outlet import NotSent, Outlet, OutletLimits

FAST = OutletLimits(gap_s=0, backoff_s=0.001, backoff_max_s=0.004, send_s=5, tries=5)


class Sent:
    """A sink that fails in the ways it is told, then takes everything."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tried: list[str] = []
        self.taken: list[str] = []

    async def __call__(self, text: str) -> None:
        self.tried.append(text)
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(text)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on threads of others
            await asyncio.sleep(0.005)


async def all_done(
    send: Callable[[str], Awaitable[None]], *texts: str, limits: OutletLimits = FAST
) -> tuple[Outlet[str], list[str]]:
    """Offer texts, and wait until each is done with."""
    done: list[str] = []
    outlet = Outlet[str]("chat", send, limits, done.append)
    for text in texts:
        outlet.offer(text, text)
    running = asyncio.create_task(outlet.run())
    try:
        await until(lambda: len(done) == len(texts))
    finally:
        running.cancel()
    return outlet, done


async def test_messages_go_out_in_order_and_each_is_done_once() -> None:
    send = Sent()
    outlet, done = await all_done(send, "one", "two", "three")
    assert send.taken == done == ["one", "two", "three"]
    assert (outlet.status.sent, outlet.status.waiting, outlet.status.failing) == (3, 0, "")


async def test_a_failure_is_tried_again_and_what_comes_after_waits_for_its_turn() -> None:
    send = Sent(NotSent("It answered with status 500."), OSError("x"), NotSent("no"))
    outlet, _ = await all_done(send, "one", "two")
    assert send.tried == ["one", "one", "one", "one", "two"]
    assert send.taken == ["one", "two"]
    assert (outlet.status.failed_tries, outlet.status.given_up, outlet.status.failing) == (3, 0, "")


async def test_a_refusal_gives_up_early_and_lets_the_others_by() -> None:
    send = Sent(*[NotSent("It answered with status 400.", refused=True)] * 3)
    outlet, done = await all_done(send, "bad", "good")
    assert (send.taken, done) == (["good"], ["bad", "good"])
    assert outlet.status.given_up == 1


async def test_tries_are_bounded() -> None:
    send = Sent(*[NotSent("no")] * 100)
    outlet, _ = await all_done(send, "one")
    assert len(send.tried) == FAST.tries
    assert outlet.status.failing == "no"


async def test_a_sink_that_hangs_is_left_after_its_time() -> None:
    async def hangs(_: str) -> None:
        await asyncio.Event().wait()

    outlet, _ = await all_done(hangs, "one", limits=OutletLimits(send_s=0.01, tries=2, backoff_s=0.001))
    assert outlet.status.failing == "It did not answer in 0.01 s."


async def test_what_waits_is_bounded_and_the_oldest_gives_way() -> None:
    done: list[str] = []
    outlet = Outlet[str]("chat", Sent(), OutletLimits(waiting=3), done.append)
    for number in range(5):
        outlet.offer(str(number), str(number))
    assert done == ["0", "1"]
    assert (outlet.status.waiting, outlet.status.dropped) == (3, 2)


async def test_the_same_message_is_taken_once_and_a_key_replaces_what_waits_under_it() -> None:
    done: list[str] = []
    outlet = Outlet[str]("forge", Sent(), FAST, done.append)
    outlet.offer("a", "pending", key="commit")
    outlet.offer("a", "pending", key="commit")
    outlet.offer("b", "success", key="commit")
    assert done == ["a"]
    assert outlet.status.waiting == 1


async def test_an_exceptions_text_is_nowhere(caplog: pytest.LogCaptureFixture, capsys) -> None:
    send = Sent(ValueError("https://hooks/T0KEN-secret"))
    outlet, _ = await all_done(send, "one", limits=OutletLimits(tries=1, backoff_s=0))
    output = capsys.readouterr()
    assert outlet.status.failing == "ValueError in the sink's library."
    assert "T0KEN" not in caplog.text + output.out + output.err + repr(outlet.status)


async def test_what_was_sent_is_not_sent_again_by_an_outbox_that_is_behind() -> None:
    send = Sent()
    done: list[str] = []
    outlet = Outlet[str]("chat", send, FAST, done.append)
    running = asyncio.create_task(outlet.run())
    outlet.offer("a", "one")
    await until(lambda: done == ["a"])
    outlet.offer("a", "one")
    outlet.offer("b", "two")
    await until(lambda: done == ["a", "a", "b"])
    running.cancel()
    assert send.taken == ["one", "two"]


async def test_what_is_remembered_of_the_past_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.adapters.notify.outlet.FINISHED_MAX", 2)
    send = Sent()
    outlet, _ = await all_done(send, "a", "b", "c")
    assert list(outlet._finished) == ["b", "c"]
