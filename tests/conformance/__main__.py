"""How our Engine API compares with a real engine's, in one run: `make conformance [PART=requests|docker-py]`.

`requests` sends everything of bad_requests.py to both, and holds status and text against each other. `docker-py` runs
docker-py's own integration tests for swarms, services, nodes, secrets, configs and networks against both: they come
with the source distribution of DOCKER_PY, which is fetched with pip into a temporary folder, and are kept nowhere.
KEEP=FOLDER keeps what they print.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.bad_requests import CASES, PLUGINLESS
from tests.conformance.compared import LOCAL_NETWORK, Case, World, masked, prepared
from tests.conformance.wire import Answered, ask
from tests.e2e.daemon import Daemon
from tests.lab.engine import Engine, busybox_tar
from tests.lab.lab import Lab

DOCKER_PY = "7.0.0"
"""The last release whose source distribution holds the tests; they run with the library that is installed."""

API_VERSION = "1.41"
FILES = (
    *("api_swarm", "api_service", "api_secret", "api_config", "models_swarm", "models_nodes", "models_services"),
    *("api_network", "models_networks", "api_client", "client", "errors", "models_resources"),
)
IMAGES = (("busybox", "latest"), ("alpine", "latest"), ("alpine", "3.10"))
TEST_WAIT_S = 300
OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR|XPASS|XFAIL) (\S+)", re.MULTILINE)
KEPT = ("tests/__init__.py", "tests/helpers.py", "tests/integration/", "tests/ssh/")


def compared(engine: str, ours: str) -> tuple[list[str], int]:
    """Send every case to a real engine and to ours; return the differences that are not listed, and how many cases.

    A refusal of the engine's with 500 is one with 400 here, in the same words, and needs no listing.
    """
    reasons = tomllib.loads((Path(__file__).parent / "differences.toml").read_text())
    found = []
    try:
        ask(engine, "POST", "/networks/create", {"Name": LOCAL_NETWORK, "Driver": "bridge"})
        worlds = {host: prepared(host) for host in (engine, ours)}
        for case, answers in _answered(worlds):
            expected, answer = ((one.status, masked(one.message, world)) for one, world in
                zip(answers, worlds.values(), strict=True))  # fmt: skip
            same = answer == expected or (expected[0] == 500 and answer == (400, expected[1]))
            if not same and case.name not in reasons:
                found.append(f"{case.name}: engine {expected}, ours {answer}")
    finally:
        for host in (engine, ours):
            ask(host, "POST", "/swarm/leave?force=1")
        ask(engine, "DELETE", f"/networks/{LOCAL_NETWORK}")
    return found, len(CASES)


def _answered(worlds: dict[str, World]) -> Iterator[tuple[Case, list[Answered]]]:
    """Yield each case with its answers, one of each host. What takes an engine long is sent last, and all at once."""
    for case in CASES:
        if case.name not in PLUGINLESS:
            yield case, [case.sent(host, world) for host, world in worlds.items()]
    with ThreadPoolExecutor(len(worlds) * len(PLUGINLESS)) as pool:
        slow = [case for case in CASES if case.name in PLUGINLESS]
        begun = [(case, [pool.submit(case.sent, host, world) for host, world in worlds.items()]) for case in slow]
        for case, asked in begun:
            yield case, [one.result() for one in asked]


def _tests_of_docker_py(folder: Path) -> Path:
    """Fetch docker-py's source distribution, and unpack only its tests: the library is the one that we use."""
    words = ["download", "--quiet", "--no-deps", "--no-binary", "docker", f"docker=={DOCKER_PY}", "-d", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (archive,) = folder.glob("docker-*.tar.gz")
    root = f"docker-{DOCKER_PY}"
    with tarfile.open(archive) as tar:
        kept = [one for one in tar.getmembers() if one.name.removeprefix(f"{root}/").startswith(KEPT)]
        tar.extractall(folder, members=kept, filter="data")
    # Its helpers import this for tests over ssh, of which none is run here.
    (folder / root / "paramiko.py").write_text("")
    return folder / root


def _ran(tests: Path, name: str, host: str) -> dict[str, str]:
    """Return {test: its outcome}."""
    environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_TEST_API_VERSION": API_VERSION}
    files = [f"tests/integration/{name}_test.py" for name in FILES]
    words = ["--noconftest", "-p", "no:cacheprovider", "-q", "-rA", "--timeout", str(TEST_WAIT_S), "--rootdir", "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *files],
        cwd=tests, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if kept := os.environ.get("KEEP"):
        Path(kept, f"{name}.txt").write_text(done.stdout)
    return {test: outcome for outcome, test in OUTCOME.findall(done.stdout)}


def _give_images(engine: Engine) -> None:
    with engine.client() as client:
        for repository, tag in IMAGES:
            client.import_image_from_data(busybox_tar(), repository=repository, tag=tag)


def _docker_py(engine: Engine, daemon: Daemon, folder: Path) -> int:
    tests = _tests_of_docker_py(folder)
    _give_images(engine)
    outcomes = {name: _ran(tests, name, host) for name, host in (("engine", engine.host), ("ours", daemon.host))}
    for name, found in outcomes.items():
        print(f"docker-py against {name}: {dict(Counter(found.values()))}")
    good = ("PASSED", "XPASS")
    behind = [test for test, outcome in outcomes["engine"].items()
              if outcome in good and outcomes["ours"].get(test) not in good]  # fmt: skip
    print("\n".join(f"passes with the engine only: {test}" for test in behind))
    return len(behind)


def main() -> int:
    """Compare; return 1 when ours falls behind in anything."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--part", choices=("", "requests", "docker-py"), default="")
    part = parser.parse_args().part
    behind = 0
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="cf-") as name:
        lab.outsider.load_images()
        for wanted in ("requests", "docker-py"):
            if part in ("", wanted):
                behind += _part(wanted, lab.outsider, Path(name, wanted))
    return 1 if behind else 0


def _part(part: str, engine: Engine, folder: Path) -> int:
    folder.mkdir()
    with a_daemon_on(engine, folder) as daemon:
        if part == "docker-py":
            return _docker_py(engine, daemon, folder)
        differences, count = compared(engine.host, daemon.host)
        print("\n".join([*differences, f"{count} refusals, {len(differences)} differ for no listed reason"]))
        return len(differences)


@contextmanager
def a_daemon_on(engine: Engine, folder: Path) -> Iterator[Daemon]:
    """Start a daemon whose containers and local networks are an engine's, but whose ports are its own."""
    with engine.client() as client:
        daemon = Daemon(folder, engine=client, arguments=("--runtime", "docker", "--docker-host", engine.host))
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.kill()


if __name__ == "__main__":
    sys.exit(main())
