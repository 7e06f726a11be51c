"""Attacks at full size on a running controller: `python -m tests.chaos.hostile`, or `make attacks`.

A file of 1 GB, noise beyond any limit, 100,000 files and names, bodies of a GiB, thousands of connections. Prints what
each came to, how long the controller took for it, and by how much it and its git commands grew. Fails when one of them
is not refused or taken as it ought to be, or grows beyond a limit, or when a commit does not converge meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.e2e.attacked import GIB, READ, Served, connections, endless_body, serving, slow
from tests.e2e.controllers import until
from tests.e2e.followed import Followed, small_swarm
from tests.lab.git_servers import Repository

MANY = 100_000
NOISE_MIB = 300
GROWTH_MIB_MAX = 64
GIT_MIB_MAX = 256
LOOK_S = 0.02
WAIT_S = 600.0


@dataclass
class Grown:
    """The most memory that was seen, in MiB."""

    controller: int = 0
    git: int = 0


@dataclass(frozen=True)
class Row:
    what: str
    came_to: str
    expected: str
    seconds: float
    grown: Grown

    @property
    def is_good(self) -> bool:
        fits = self.grown.controller <= GROWTH_MIB_MAX and self.grown.git <= GIT_MIB_MAX
        return self.came_to == self.expected and fits


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so all that was started is ended
    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        folder = Path(name)
        with small_swarm(folder) as swarm, serving(folder, swarm) as served:
            rows = [*_repositories(served, folder), *_floods(served)]
            _converges(served, "at last")
    for row in rows:
        sign = "ok  " if row.is_good else "FAIL"
        grown = f"controller +{row.grown.controller} MiB, git {row.grown.git} MiB"
        print(f"{sign} {row.what:44} {row.came_to:20} {row.seconds:6.1f} s  {grown}")
    return 0 if all(row.is_good for row in rows) else 1


def _repositories(served: Served, folder: Path) -> Iterator[Row]:
    def make(name: str) -> Followed:
        return Followed.make(folder, name, served.controller, served.followed.backend)

    attacks: list[tuple[str, Followed, Callable[[Followed], None], str]] = [
        ("a file of 1 GB beside the manifests", make("beside"), partial(_zeros, name="data.bin"), "taken"),
        ("a manifest of 1 GB", make("manifest"), partial(_zeros, name="stacks/x.yaml"), "file-too-large"),
        (f"{NOISE_MIB} MiB that can't be compressed", make("noise"), _noise, "source-too-large"),
        (f"{MANY:,} files", make("files"), _files, "source-too-large"),
        (f"{MANY:,} branches", make("branches"), _branches, "taken"),
    ]
    served.controller.stop()
    served.controller.spec["sources"] = [one.source for one in (served.followed, *(made for _, made, _, _ in attacks))]
    served.controller.start()
    for _, one, _, _ in attacks:
        one.await_mark("1")
    for what, one, attack, expected in attacks:
        attack(one)
        commit = one.repository.git("rev-parse", "HEAD")
        with _growing(served) as grown:
            begun = time.monotonic()
            one.wake()
            _converges(served, what)
            until(partial(_is_decided, one, commit), what, WAIT_S)
            seconds = time.monotonic() - begun
        code = one.fault().get("code", "")
        yield Row(what, code or "taken", expected, seconds, grown)


def _is_decided(one: Followed, commit: str) -> bool:
    status = one.status()
    return commit in (status["revision"]["commit"], (status["fault"] or {}).get("commit"))


def _converges(served: Served, mark: str) -> None:
    """A commit of somebody else's is applied meanwhile."""
    served.followed.commit(mark)
    served.followed.wake()
    served.followed.await_mark(mark)


def _zeros(one: Followed, name: str) -> None:
    with (one.repository.work / name).open("wb") as file:
        file.truncate(10**9)
    _push_large(one.repository)


def _noise(one: Followed) -> None:
    with (one.repository.work / "noise").open("wb") as file:
        for _ in range(NOISE_MIB):
            file.write(os.urandom(1 << 20))
    _push_large(one.repository)


def _push_large(repository: Repository) -> None:
    repository.git("config", "core.bigFileThreshold", "1m")
    repository.git("config", "core.compression", "1")
    repository.commit("large")


def _files(one: Followed) -> None:
    lines = ["blob\nmark :1\ndata 1\nx\ncommit refs/heads/main\ncommitter A <a@b> 0 +0000\ndata 1\nm\n"]
    lines += [f"M 100644 :1 stacks/{number // 1000}/{number}.yaml\n" for number in range(MANY)]
    line = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(line, cwd=one.repository.bare, input="".join(lines).encode(), check=True)
    one.repository.git("fetch", "-q", "origin", "main")
    one.repository.git("reset", "-q", "--soft", "FETCH_HEAD")


def _branches(one: Followed) -> None:
    commit = one.commit("2")
    lines = [f"{commit} refs/heads/branch-{number:06}\n" for number in range(MANY)]
    head = "# pack-refs with: peeled fully-peeled sorted \n"
    (one.repository.bare / "packed-refs").write_text(head + "".join(lines))


def _floods(served: Served) -> Iterator[Row]:
    def declared() -> str:
        with served.connect() as one:
            one.sendall(f"POST /v1/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {GIB}\r\n\r\n".encode())
            return one.recv(100).split()[1].decode()

    def endless() -> str:
        return "cut off" if endless_body(served) < GIB else "taken"

    def many() -> str:
        with connections(served, 5000), slow(served, 50):
            return str(served.ask("GET", "/v1/status", {"Authorization": f"Bearer {READ}"}))

    def guesses() -> str:
        answers = {served.ask("GET", "/v1/status", {"Authorization": f"Bearer {'x' * 20}{n}"}) for n in range(1000)}
        return f"{answers} logged {len(served.refusals(status=401))}"

    attacks: list[tuple[str, Callable[[], str], str]] = [
        ("a body that says it has a GiB", declared, "413"),
        ("a body without an end", endless, "cut off"),
        ("5,000 silent connections, 50 slow ones", many, "200"),
        ("1,000 wrong tokens", guesses, "{401} logged 1"),
    ]
    for what, attack, expected in attacks:
        with _growing(served) as grown:
            begun = time.monotonic()
            came_to = attack()
            seconds = time.monotonic() - begun
        _converges(served, what)
        yield Row(what, came_to, expected, seconds, grown)


@contextmanager
def _growing(served: Served) -> Iterator[Grown]:
    """Watch the memory of the controller, and of what it starts."""
    assert served.controller.process is not None
    pid, grown, ended = served.controller.process.pid, Grown(), threading.Event()
    before = served.memory_mib()

    def watch() -> None:
        while not ended.wait(LOOK_S):
            grown.git = max(grown.git, _children_mib(pid))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield grown
    finally:
        ended.set()
        watching.join()
        grown.controller = served.memory_mib() - before


def _children_mib(pid: int) -> int:
    """Return the memory of all that descends from a process, without what it shares with others."""
    found, pending = 0, [pid]
    while pending:
        with suppress(OSError):
            children = Path(f"/proc/{pending[0]}/task/{pending.pop(0)}/children").read_text().split()
            pending += [int(child) for child in children]
            for child in children:
                with suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{child}/status").read_text().splitlines()
                    found += int(next(line for line in lines if line.startswith("RssAnon:")).split()[1])
    return found // 1024


if __name__ == "__main__":
    sys.exit(main())
