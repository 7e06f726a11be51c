"""HTTP over the `ssh` program, as the docker CLI does it: one `docker system dial-stdio` a connection.

The docker SDK has such a transport, but it imports paramiko even when it is told to use the ssh program, and its socket
knows no timeout; this one is a real socket whose other end is the program's standard input and output.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import tempfile
from typing import IO
from urllib.parse import SplitResult

from reconciler.adapters.docker.dialing import SshFailed

STOP_WAIT_S = 2.0
STDERR_BYTES_MAX = 2_000


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


class SshConnection(http.client.HTTPConnection):
    """A connection whose far end is an ssh program."""

    def __init__(self, address: SplitResult, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._address = address
        self._program: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._said = ""
        self._is_awaited = False

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(self.timeout)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
        try:
            self._program = subprocess.Popen(
                command(self._address),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,  # a Ctrl-C at the terminal must not cut a request in two
            )
        except (OSError, ValueError) as error:
            ours.close()
            self._stderr.close()
            raise SshFailed(f"the ssh program did not start: {error}") from error
        finally:
            theirs.close()
        self.sock = ours

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the response. An end of the stream before one is ssh's failure, and ssh has said why.

        After one that is the connection's last, `close` is called before its content has been read.
        """
        self._is_awaited = True
        try:
            return super().getresponse()
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            self._is_awaited = False
            self.close()
            raise SshFailed(self._said or f"the connection ended: {error}") from error
        finally:
            self._is_awaited = False

    def close(self) -> None:
        super().close()
        if self._is_awaited:
            return
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
