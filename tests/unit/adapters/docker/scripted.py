"""A server that does with each connection what a test's script says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

WAIT_S = 10.0

Opened = TypeVar("Opened", bound=socket.socket)


@contextmanager
def scripted(
    listening: socket.socket, opened: Callable[[socket.socket], Opened], script: Callable[[Opened, int], None]
) -> Iterator[None]:
    """Run `script` in a thread with what `opened` makes of each connection, and its number, one after the other.

    What the network raises ends a connection; anything else that a script raises is for the thread to tell.
    """

    def serve() -> None:
        number = 0
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(WAIT_S)
            with contextlib.suppress(OSError), opened(plain) as connection:
                script(connection, number)
            number += 1

    thread = threading.Thread(target=serve, daemon=True)
    with listening:
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)
        assert not thread.is_alive()
