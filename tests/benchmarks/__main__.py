"""Everything that is measured, beside a peer in the same run: `make bench`.

PART=load|plan|scheduler|start|replication|deploy|daemon|controller measures only that. SERVICES=20 compares deployments
of that many services only, RESOLVE=never those that ask no registry; PAIRS=1 takes fewer of them. ROUNDS=1 and
TAKE_OVERS=5 shorten what the replicated store does, and ROUNDS what the daemon does. STACKS=10 makes the controller's
repository smaller.
"""

from __future__ import annotations

import gc
import os

from reconciler.main import GC_THRESHOLD
from tests.benchmarks.controller import STACKS, bench_controller
from tests.benchmarks.daemon import ROUNDS, bench_daemon
from tests.benchmarks.deploy import PAIRS, RESOLVE, bench_deploy
from tests.benchmarks.pure import bench_load, bench_plan
from tests.benchmarks.replication.bench import bench_replication
from tests.benchmarks.scheduler import bench_scheduler
from tests.benchmarks.start import bench_start

COUNTS = (20, 100)


def _deployments() -> None:
    services, resolve = os.environ.get("SERVICES"), os.environ.get("RESOLVE")
    counts = (int(services),) if services else COUNTS
    bench_deploy(counts, int(os.environ.get("PAIRS", PAIRS)), (resolve,) if resolve else RESOLVE)


PARTS = {
    "load": bench_load,
    "plan": bench_plan,
    "scheduler": bench_scheduler,
    "start": bench_start,
    "replication": bench_replication,
    "deploy": _deployments,
    "controller": lambda: bench_controller(int(os.environ.get("STACKS", STACKS))),
    "daemon": lambda: bench_daemon(int(os.environ.get("ROUNDS", ROUNDS))),
}


def main() -> None:
    """Run every benchmark and print its figures."""
    gc.set_threshold(GC_THRESHOLD)  # as the program does
    only = os.environ.get("PART", "")
    for name, part in PARTS.items():
        if only in ("", name):
            part()


if __name__ == "__main__":
    main()
