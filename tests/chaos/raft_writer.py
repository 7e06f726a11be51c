"""Works on a durable log as fast as it can until it is killed, and says on its standard output what it does.

    python -m tests.chaos.raft_writer FOLDER SEED

One line of JSON before each step, and "ok" behind it once the log has returned.
"""

from __future__ import annotations

import json
import os
import random
import sys

from reconciler.adapters.raft.log import DurableLog
from tests.fakes.log_model import OWNER, VERBS, Model, carry_out

SEGMENT_BYTES = 32 << 10


def say(text: str) -> None:
    os.write(1, text.encode())


def main() -> None:
    folder, seed = sys.argv[1:]
    log = DurableLog(folder, OWNER, create=True, segment_bytes=SEGMENT_BYTES)
    model, chance = Model(), random.Random(seed)
    model.adopt(log.load())
    say("ready\n")
    verbs = [*VERBS[:-1], "append", "append", "append", "append"]
    while True:
        step = chance.choice(verbs), chance.randrange(1 << 16), chance.randrange(1 << 16)
        say(json.dumps(step))
        carry_out(log, model, step)
        say(" ok\n")


if __name__ == "__main__":
    main()
