"""Runs tasks as plain processes of this host, for want of a container engine.

A task's image is not pulled and means nothing here: ContainerSpec.Command and Args are run with the programs that the
host has. Each task has a folder, a process group and a loopback address of its own, and no other isolation. Of
ContainerSpec are used: Command, Args, Env, Dir, Hostname, Secrets, Configs, StopSignal, StopGracePeriod, Healthcheck,
Ulimits; of the task's resources the limits, as far as the host allows (limits.py); and LogDriver (log_driver.py).
Everything else (User, Mounts, capabilities ...) has no effect.
"""

from reconciler.adapters.process_runtime.addresses import LoopbackAddresses
from reconciler.adapters.process_runtime.leftovers import Escapees, sweep
from reconciler.adapters.process_runtime.limits import ControlGroups
from reconciler.adapters.process_runtime.log_driver import LOG_DRIVERS
from reconciler.adapters.process_runtime.runtime import ProcessRuntime, RuntimeParts

__all__ = [
    "LOG_DRIVERS",
    "ControlGroups",
    "Escapees",
    "LoopbackAddresses",
    "ProcessRuntime",
    "RuntimeParts",
    "sweep",
]
