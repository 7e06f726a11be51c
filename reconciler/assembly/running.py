"""`swarmctl daemon` as a process: its sockets, its log, its signals."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from reconciler.adapters import logs
from reconciler.api.server import serve_node
from reconciler.assembly.daemon import DaemonSettings, start_daemon

_log = logging.getLogger(__name__)


async def run_daemon(
    settings: DaemonSettings, hosts: Sequence[str], log_level: str, ready: Callable[[Sequence[str]], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told where, once all hosts are listened on.

    The sockets come last, so that whoever reaches them finds the swarm that the folder holds. Raises SwarmctlError:
    embedded-already-running, embedded-failed, bad-setting.
    """
    logs.configure(as_json=False, level=log_level)
    told_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    node = await start_daemon(settings)
    try:
        async with AsyncExitStack() as open_hosts:
            servers = [await open_hosts.enter_async_context(serve_node(node, host)) for host in hosts]
            ready([server.host for server in servers])
            for server in servers:
                if not server.host.startswith("unix://"):
                    _log.warning(
                        "%s asks nobody who they are: every user of this machine can run programs.", server.host
                    )
            await told_to_end.wait()
    finally:
        await node.stop()
