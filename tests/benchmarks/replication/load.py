"""What is asked of a store, whichever it is, and how long it took."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

VALUE = (b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_" * 4)[:200]
KEYS = 10_000
WRITERS = 64
BATCH = 1_000
BATCHES_AT_ONCE = 4
SECONDS = 4.0
WARM_UP_S = 0.5


class Store(Protocol):
    """A store as a client in the same machine sees it. Both return when the write is durable on a majority."""

    async def put(self, key: str, value: bytes) -> None: ...

    async def put_all(self, keys: Sequence[str], value: bytes) -> None:
        """Put all of them in one transaction."""
        ...


@dataclass(frozen=True)
class Figures:
    """`per_second` counts writes, also those within a batch; latencies are of one call, in ms."""

    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Measured:
    one_writer: Figures
    many_writers: Figures
    batches: Figures


async def measure(store: Store, seconds: float = SECONDS) -> Measured:
    """Put all three loads on a store, one after the other."""
    return Measured(
        await _writers(store, 1, seconds),
        await _writers(store, WRITERS, seconds),
        await _batches(store, seconds),
    )


async def _writers(store: Store, writers: int, seconds: float) -> Figures:
    async def one(number: int) -> list[float]:
        took: list[float] = []
        key = number
        while (begun := time.perf_counter()) < end:
            key = (key * 31 + 7) % KEYS
            await store.put(f"key-{key}", VALUE)
            done = time.perf_counter()
            if begun >= counted_from:
                took.append(done - begun)
        return took

    counted_from = time.perf_counter() + WARM_UP_S
    end = counted_from + seconds
    per_writer = await asyncio.gather(*(one(number) for number in range(writers)))
    return _figures([took for one_took in per_writer for took in one_took], seconds, 1)


async def _batches(store: Store, seconds: float) -> Figures:
    async def one(number: int) -> list[float]:
        keys = [f"key-{(number * BATCH + key) % KEYS}" for key in range(BATCH)]
        took: list[float] = []
        while (begun := time.perf_counter()) < end:
            await store.put_all(keys, VALUE)
            if begun >= counted_from:
                took.append(time.perf_counter() - begun)
        return took

    counted_from = time.perf_counter() + WARM_UP_S
    end = counted_from + seconds
    per_writer = await asyncio.gather(*(one(number) for number in range(BATCHES_AT_ONCE)))
    return _figures([took for one_took in per_writer for took in one_took], seconds, BATCH)


def _figures(took: list[float], seconds: float, writes_per_call: int) -> Figures:
    assert len(took) >= 2, "not even two calls came to an end"
    hundredths = statistics.quantiles(took, n=100)
    return Figures(len(took) * writes_per_call / seconds, hundredths[49] * 1_000, hundredths[98] * 1_000)
