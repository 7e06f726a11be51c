"""One real Docker Engine."""

from __future__ import annotations

import io
import signal
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import docker
import requests

from tests.lab.namespaces import Cell, remove_cgroups, run

START_WAIT_S = 60.0
STOP_WAIT_S = 60.0
"""dockerd gives its containers time to stop, and its managers to tell the others."""
POLL_S = 0.05
IMAGES = ("swarmctl-test:1", "swarmctl-test:2")
BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh",
    "sleep",
    "echo",
    "cat",
    "env",
    "false",
    "true",
    "ls",
    "kill",
    "nc",
    "httpd",
    "wget",
    "hostname",
    "id",
    "top",
    "nslookup",
)


def busybox_tar() -> bytes:
    """Return a root file system with nothing but the host's busybox, under the names that the tests use."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(BUSYBOX, arcname="bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()


def control_group(folder: Path) -> str:
    """Return the control group of the containers of the engine with this folder: one to each engine of each lab."""
    return f"swarmctl-lab-{folder.parent.name}-{folder.name}"


@dataclass
class Engine:
    """A dockerd whose socket is `socket`; other engines reach it at `address`. It pulls nothing: it has no way out."""

    name: str
    address: str
    folder: Path
    cell: Cell = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.cell = Cell(self.name, self.folder / "dockerd.log")

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def host(self) -> str:
        """The endpoint as DOCKER_HOST has it."""
        return f"unix://{self.socket}"

    @property
    def control_group(self) -> str:
        return control_group(self.folder)

    @property
    def _down(self) -> Path:
        """A file that is there while dockerd has ended; without it the next one is started."""
        return self.folder / "down"

    def open(self) -> None:
        """Make the namespaces; nothing runs yet."""
        settings = self.folder / "daemon.json"
        settings.write_text("{}")  # the host's own configuration is none of our business
        daemon = f"{' '.join(self._command(settings))} >&2"
        self.cell.open(
            f"while :; do {daemon}; touch {self._down}; while [ -e {self._down} ]; do sleep 0.05; done; done"
        )

    @property
    def _pid(self) -> Path:
        return self.folder / "pid"

    def _command(self, settings: Path) -> Sequence[str]:
        return (
            "dockerd",
            f"--config-file={settings}",
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self.folder / 'exec'}",
            f"--pidfile={self._pid}",
            f"--host={self.host}",
            f"--cgroup-parent=/{self.control_group}",
            f"--containerd-namespace={self.name}",
            f"--containerd-plugins-namespace={self.name}-plugins",
            "--storage-driver=vfs",
            "--userland-proxy=false",
        )

    def start(self) -> None:
        """Let dockerd run in the namespaces that `open` made."""
        self.cell.release()

    def wait(self) -> None:
        """Return when the engine answers; raise with the end of its log when it does not."""
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline and self.cell.process.poll() is None and not self._down.exists():
            if self.socket.exists() and self._answers():
                return
            time.sleep(POLL_S)
        raise RuntimeError(f"Engine {self.name} did not start: {self.cell.tail()}")

    def end(self, number: signal.Signals) -> None:
        """End dockerd with a signal, and return when it is gone. Containers live on after a SIGKILL."""
        pid = int(self._pid.read_text())  # as the engine's own namespace counts them
        namespace = f"--pid=/proc/{self.cell.process.pid}/ns/pid_for_children"
        run("nsenter", namespace, "sh", "-c", f"kill -{number.value} {pid}")
        deadline = time.monotonic() + STOP_WAIT_S
        while not self._down.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Engine {self.name} did not end: {self.cell.tail()}")
            time.sleep(POLL_S)

    def start_again(self) -> None:
        """Let a dockerd run again on what the one that has ended left; `wait` tells when it answers."""
        self._down.unlink()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (docker.errors.DockerException, requests.RequestException):
            return False

    def client(self) -> docker.APIClient:
        """Return a plain SDK client: the tests' side door, which knows nothing of ours."""
        return docker.APIClient(base_url=self.host, version="1.41", timeout=60)

    def load_images(self) -> None:
        """Give the engine the images that the tests name."""
        tar = busybox_tar()
        with self.client() as client:
            for image in IMAGES:
                repository, tag = image.split(":")
                client.import_image_from_data(tar, repository=repository, tag=tag)

    def close(self) -> None:
        """End the engine and everything that it runs."""
        self.cell.close()
        remove_cgroups(self.control_group)
