"""Everything that is measured, beside a peer in the same run: `make bench`.

SERVICES=20 compares deployments of that many services only; PAIRS=1 takes fewer of them.
"""

from __future__ import annotations

import gc
import os

from reconciler.main import GC_THRESHOLD
from tests.benchmarks.deploy import PAIRS, bench_deploy
from tests.benchmarks.pure import bench_load, bench_plan
from tests.benchmarks.scheduler import bench_scheduler
from tests.benchmarks.start import bench_start

COUNTS = (20, 100)


def main() -> None:
    """Run every benchmark and print its figures."""
    gc.set_threshold(GC_THRESHOLD)  # as the program does
    bench_load()
    bench_plan()
    bench_scheduler()
    bench_start()
    services = os.environ.get("SERVICES")
    bench_deploy((int(services),) if services else COUNTS, int(os.environ.get("PAIRS", PAIRS)))


if __name__ == "__main__":
    main()
