"""The main job, shown on the embedded swarm: from a commit to a converged cluster, and back after drift.

Everything happens in a temporary folder; nothing is left behind. Run it with `make demo`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import docker

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "stacks"
ANSWER_WAIT_S = 15.0
REPLACE_WAIT_S = 15.0


class Demo:
    """One showing: a repository, a swarm, and the environment in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "infra"
        self.port = _free_port()
        self.environment = {
            **os.environ,
            "SWARMCTL_DATA_DIR": str(folder / "swarm"),
            "WEB_PORT": str(self.port),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "demo",
            "GIT_AUTHOR_EMAIL": "demo@example.com",
            "GIT_COMMITTER_NAME": "demo",
            "GIT_COMMITTER_EMAIL": "demo@example.com",
        }
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "GIT_DIR", "GIT_WORK_TREE"):
            self.environment.pop(name, None)

    def run(self, command: str, *, ends_with: int = 0) -> str:
        """Show and run one command in the repository; it must end with `ends_with`. Return what it printed."""
        print(f"\n$ {command}", flush=True)
        arguments = shlex.split(command)
        printed = []
        with subprocess.Popen(
            arguments,
            cwd=self.repository,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                printed.append(line)
        if process.returncode != ends_with:
            raise SystemExit(f"demo: `{command}` ended with {process.returncode}, not with {ends_with}")
        if ends_with:
            print(f"(exit code {ends_with})")
        return "".join(printed)

    def fetch(self) -> str:
        """Show and return an answer of the web service."""
        url = f"http://127.0.0.1:{self.port}/"
        deadline = time.monotonic() + ANSWER_WAIT_S
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    answer = response.read().decode()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        print(f"\n$ curl {url}\n{answer}", end="", flush=True)
        return answer

    def engine(self) -> docker.APIClient:
        """Return a client of the embedded swarm, which speaks the Docker Engine API."""
        return docker.APIClient(base_url=f"unix://{self.environment['SWARMCTL_DATA_DIR']}/swarm.sock", version="auto")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def heading(text: str) -> None:
    print(f"\n\033[1m── {text} " + "─" * max(0, 76 - len(text)) + "\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise SystemExit(f"demo: expected {what}")


def start(demo: Demo) -> None:
    heading("A Git repository that says what the swarm should be")
    shutil.copytree(EXAMPLES, demo.repository)
    demo.run("git init --quiet --initial-branch main")
    demo.run("git add .")
    demo.run("git commit --quiet --message 'Declare the swarm'")
    demo.run("swarmctl validate")
    heading("An embedded swarm of three nodes, without Docker")
    demo.run("swarmctl up --nodes 3")
    heading("The first deployment")
    demo.run("swarmctl apply --backend embedded --revision main --yes")
    demo.run("swarmctl status . --backend embedded")
    expect("release 1.0" in demo.fetch(), "an answer of release 1.0")
    expect("No changes." in demo.run("swarmctl apply --backend embedded --yes"), "a second apply to change nothing")


def change(demo: Demo) -> None:
    heading("A commit: three replicas, and a new release")
    stack = demo.repository / "stacks" / "site.yaml"
    text = stack.read_text().replace('RELEASE: "1.0"', 'RELEASE: "1.1"').replace("replicas: 2", "replicas: 3")
    stack.write_text(text)
    demo.run("git commit --quiet --all --message 'Release 1.1 on three replicas'")
    demo.run("git show --unified=0 --format=%s")
    demo.run("swarmctl diff --backend embedded --revision main", ends_with=2)
    demo.run("swarmctl apply --backend embedded --revision main --yes")
    expect("release 1.1" in demo.fetch(), "an answer of release 1.1")


def kill_a_task(demo: Demo) -> None:
    heading("A task dies, and is replaced")
    engine = demo.engine()
    running = [task for task in _web_tasks(engine) if task["Status"]["State"] == "running"]
    victim = running[0]
    pid = victim["Status"]["ContainerStatus"]["PID"]
    print(f"\n$ kill -9 {pid}    # task {victim['ID']}, slot {victim['Slot']}", flush=True)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + REPLACE_WAIT_S
    while True:
        now = [task for task in _web_tasks(engine) if task["Slot"] == victim["Slot"]]
        fresh = [task for task in now if task["Status"]["State"] == "running" and task["ID"] != victim["ID"]]
        if fresh:
            break
        expect(time.monotonic() < deadline, "the killed task to be replaced")
        time.sleep(0.1)
    old = next(task for task in now if task["ID"] == victim["ID"])
    print(f"slot {old['Slot']}: task {old['ID']} {old['Status']['State']}: {old['Status'].get('Err', '')}")
    print(f"slot {old['Slot']}: task {fresh[0]['ID']} running")
    demo.fetch()


def _web_tasks(engine: docker.APIClient) -> list[dict]:
    return engine.tasks(filters={"service": "site_web"})


def drift(demo: Demo) -> None:
    heading("Somebody changes the swarm behind Git's back")
    engine = demo.engine()
    service = engine.inspect_service("site_web")
    spec = service["Spec"]
    spec["Mode"]["Replicated"]["Replicas"] = 1
    spec["TaskTemplate"]["ContainerSpec"]["Env"].append("DEBUG=1")
    engine.update_service(
        service["ID"],
        service["Version"]["Index"],
        name=spec["Name"],
        labels=spec["Labels"],
        mode=spec["Mode"],
        task_template=spec["TaskTemplate"],
        update_config=spec.get("UpdateConfig"),
        endpoint_spec=spec.get("EndpointSpec"),
    )
    node = next(one for one in engine.nodes() if one["Description"]["Hostname"] == "node3")
    engine.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], "Labels": {}})
    print("\n(site_web scaled to 1 with DEBUG=1; label zone of node3 removed, through the Docker Engine API)")
    demo.run("swarmctl diff --backend embedded --revision main", ends_with=2)
    demo.run("swarmctl apply --backend embedded --revision main --yes")
    demo.run("swarmctl status . --backend embedded")
    demo.run("swarmctl diff --backend embedded --revision main")


def clean_up(demo: Demo, data_dir: Path) -> None:
    """End the swarm, also when the demo was interrupted: a second Ctrl-C must not leave its processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if (data_dir / "swarm.pid").exists():
        heading("Clean up")
        subprocess.run(["swarmctl", "down"], env=demo.environment, check=False, start_new_session=True)


def main() -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="swarmctl-demo-") as folder:
        demo = Demo(Path(folder))
        try:
            start(demo)
            change(demo)
            kill_a_task(demo)
            drift(demo)
        finally:
            clean_up(demo, Path(folder) / "swarm")
    heading(f"Done in {time.monotonic() - started:.0f} seconds")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
