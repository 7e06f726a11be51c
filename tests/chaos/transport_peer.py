"""One end of a connection that never rests, and says when it was interrupted.

    python -m tests.chaos.transport_peer FOLDER NAME OTHER OTHER_HOST OTHER_PORT

Sends a frame every hundredth of a second. Prints a line of JSON when frames arrive again after GAP_S without any, and
for the very first: when the last one came before, and when the first one after, on the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from reconciler.adapters.peers.identity import read_identity
from reconciler.adapters.raft.transport import TlsTransport
from reconciler.model.replication import Address

EVERY_S = 0.01
GAP_S = 0.2


async def main(folder: Path, name: str, other: str, address: Address) -> None:
    transport = TlsTransport(read_identity(str(folder / name), datetime.now(UTC)))
    transport.follow({other: address})
    last_s = 0.0

    def received(sender: str, frame: bytes) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s > GAP_S:
            print(json.dumps({"before": last_s, "after": now_s}), flush=True)
        last_s = now_s

    async def send() -> None:
        while True:
            transport.send(other, b"here I am")
            await asyncio.sleep(EVERY_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(transport.run(received))
        group.create_task(send())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Address(sys.argv[4], int(sys.argv[5]))))
