"""See the package's docstring."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.transcript.replay import replay


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["replay"]:
        path, files = Path(os.environ["TRANSCRIPT"]), os.environ.get("TRANSCRIPT_FILES")
        recorded = [json.loads(line) for line in path.read_text().splitlines()]
        with tempfile.TemporaryDirectory(prefix="tr-") as folder:
            score = asyncio.run(replay(recorded, arguments[1:], Path(folder), Path(files) if files else None))
        print("\n".join(score.failures))
        for name, steps in score.steps.items():
            print(f"{name:14} {score.same[name]:4} of {steps}")
        print(f"{'all':14} {score.same.total():4} of {score.steps.total()}")
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
