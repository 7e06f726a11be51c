"""What Prometheus reads: what the loop remembers, told anew at each scrape, and what was counted since the start."""

from reconciler.adapters.metrics.metrics import Metrics
from reconciler.adapters.metrics.remembered import Remembered

__all__ = ["Metrics", "Remembered"]
