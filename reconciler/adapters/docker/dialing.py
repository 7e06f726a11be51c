"""HTTP over the `ssh` program, as the docker CLI does it: one `docker system dial-stdio` a connection.

The SDK has such a transport, but it imports paramiko even when it is told to use the ssh program, and its socket
knows no timeout; this one is a real socket whose other end is the program's standard input and output.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from typing import IO, Any
from urllib.parse import SplitResult

import requests
import urllib3
from requests.adapters import HTTPAdapter

STOP_WAIT_S = 2.0
STDERR_BYTES_MAX = 2_000


class SshFailed(urllib3.exceptions.HTTPError):
    """The ssh program could not reach an engine; the text is what it printed."""


def command(address: SplitResult) -> list[str]:
    """Return the ssh command for ssh://[USER@]HOST[:PORT][/SOCKET].

    No option may be read from the address, hence the `--`. (docker/cli cli/connhelper.)
    """
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T"]
    if address.username:
        words += ["-l", address.username]
    if address.port:
        words += ["-p", str(address.port)]
    words += ["--", address.hostname or "", "docker"]
    if address.path not in ("", "/"):
        words += ["--host", f"unix://{address.path}"]
    return [*words, "system", "dial-stdio"]


class _SshConnection(urllib3.connection.HTTPConnection):
    """A connection whose far end is an ssh program."""

    def __init__(self, address: SplitResult, **options: Any) -> None:
        super().__init__("localhost", **options)
        self._address = address
        self._program: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._said = ""

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        timeout = self.timeout
        ours.settimeout(timeout if isinstance(timeout, (int, float)) else None)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
        try:
            self._program = subprocess.Popen(
                command(self._address),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,  # a Ctrl-C at the terminal must not cut a request in two
            )
        except OSError as error:
            ours.close()
            raise SshFailed(f"the ssh program did not start: {error.strerror}") from error
        finally:
            theirs.close()
        self.sock = ours

    def getresponse(self) -> Any:
        """Return the response. An end of the stream before one is ssh's failure, and ssh has said why."""
        try:
            return super().getresponse()
        except (ConnectionError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            self.close()
            raise SshFailed(self._said or f"the connection ended: {error}") from error

    def close(self) -> None:
        super().close()
        program, self._program = self._program, None
        stderr, self._stderr = self._stderr, None
        if program is None or stderr is None:
            return
        with stderr:
            self._said = _ended(program, stderr)


def _ended(program: subprocess.Popen[bytes], stderr: IO[bytes]) -> str:
    """End the ssh program, which has lost its connection already, and return what it printed as errors."""
    try:
        program.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    stderr.seek(0)
    return stderr.read(STDERR_BYTES_MAX).decode(errors="replace").strip()


class _SshPool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, address: SplitResult, maxsize: int) -> None:
        super().__init__("localhost", maxsize=maxsize)
        self._address = address

    def _new_conn(self) -> _SshConnection:
        return _SshConnection(self._address, timeout=self.timeout.connect_timeout)


class SshAdapter(HTTPAdapter):
    """A requests adapter that reaches one engine through ssh, over at most `connections_max` connections."""

    def __init__(self, address: SplitResult, connections_max: int) -> None:
        self._pool = _SshPool(address, connections_max)
        super().__init__()

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> urllib3.connectionpool.HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, *_: Any) -> str:
        return request.path_url

    def close(self) -> None:
        self._pool.close()
        super().close()
