"""Strikes the leading controller at random moments, again and again: `python -m tests.chaos.controllers`.

KILLS, PAUSES, CUTS and ALL say how often: kill -9, SIGSTOP, partitions (also one way), kill -9 of all three at once.
SEED says which moments, CLUSTER=engines|embedded what the controllers write to, WEBHOOKS=20 how many commits are timed
first. Each strike falls into an apply of six updates. It fails when a service was written twice or not at all, when
nothing converges, or when the history, a suspension or a drift is lost.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.chaos.controllers_audit import DRIFTING, HELD, Outcome, Standing, audit, is_converged, stand, table
from tests.chaos.controllers_clusters import a_cluster
from tests.chaos.controllers_strikes import CUTS, KILL, KILL_ALL, PAUSE, Strike
from tests.chaos.group.wires import Wires
from tests.e2e.controller_group import NAMES, SETTLED_S, STACK, STACKS, WRITE_S, Group, a_group, slow_writes, stacks
from tests.e2e.controllers import until
from tests.lab.git_servers import Repository
from tests.lab.meddling import put_service

SWARM = """apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: prod}
spec: {policy: {prune: true, objects: [{match: service.drifting_api, drift: report}]}}
"""
SECRET = "a-secret-of-the-webhook"
INTERVAL = "1s"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so all that was started is ended
    chance = random.Random(_number("SEED", 1))
    strikes = [KILL] * _number("KILLS", 50) + [PAUSE] * _number("PAUSES", 8) + [KILL_ALL] * _number("ALL", 5)
    strikes += [CUTS[number % len(CUTS)] for number in range(_number("CUTS", 12))]
    chance.shuffle(strikes)
    with tempfile.TemporaryDirectory(prefix="strikes-") as name:
        complaints = _struck(Path(name), strikes, chance)
    return 1 if complaints else 0


def _struck(folder: Path, strikes: Sequence[Strike], chance: random.Random) -> int:
    """Do the strikes one after the other, print what came of them, and return how many complaints there are."""
    (folder / "secret").write_text(SECRET)
    more = {"webhooks": [{"forge": "generic", "secretFile": str(folder / "secret")}]}
    kind = os.environ.get("CLUSTER") or "embedded"
    repository = Repository.make(folder)
    repository.commit("first", swarm_DOT_yaml=SWARM, **stacks(0), **_standing(0))
    outcomes: list[Outcome] = []
    with (
        a_cluster(kind, folder) as cluster,
        Wires(folder, NAMES) as wires,
        a_group(
            cluster.backend,
            repository,
            folder,
            sockets=cluster.sockets,
            wires=wires,
            interval=INTERVAL,
            more=more,
        ) as group,
    ):
        standing = _prepared(group, repository)
        _time_commits(group, repository, _number("WEBHOOKS", 0))
        repository.commit("back to none", **stacks(0))
        until(lambda: group.replicas() == [0] * STACKS, "it is as before", SETTLED_S)
        try:
            for number, strike in enumerate(strikes):
                outcomes.append(_strike(group, repository, number, strike, standing, chance))
                _say(f"{number + 1:3} {outcomes[-1].line()}")
        finally:
            _say("\n".join(group.began_again))
            _say(f"{kind}, {len(group.began_again)} controllers ended by themselves")
            _say(table(outcomes) if outcomes else "No strike.")
    return sum(len(one.complaints) for one in outcomes) + len(group.began_again)


def _standing(replicas: int) -> dict[str, str]:
    """The stack that is suspended, and the one that drifts."""
    return {f"stacks__{HELD}_DOT_yaml": STACK % replicas, f"stacks__{DRIFTING}_DOT_yaml": STACK % 0}


def _prepared(group: Group, repository: Repository) -> Standing:
    """Suspend a stack, commit to it, and let another drift."""
    leader = group.settled_leader()
    api = f"unix://{group.controllers[leader].socket}"
    group.backend.swarmctl.ok("suspend", HELD, "--reason", "it must survive", "--controller", api)
    repository.commit("is held", **_standing(1))
    client = group.backend.engine
    spec = client.inspect_service(f"{DRIFTING}_api")["Spec"]
    put_service(client, f"{DRIFTING}_api", {**spec, "Labels": {**spec["Labels"], "by": "hand"}})
    return stand(group, leader)


def _time_commits(group: Group, repository: Repository, count: int) -> None:
    """Commit, send a webhook to one controller after the other, and time until the cluster has converged."""
    times = []
    group.choose(lambda _name, _call: None)
    for number in range(count):
        wanted = (number + 1) % 2
        leader = group.settled_leader()
        told = group.controllers[NAMES[number % len(NAMES)]]
        commit = repository.commit(f"timed {number}", stacks__s0_DOT_yaml=STACK % wanted)
        began = time.monotonic()
        assert told.webhook({"source": "infra"}, SECRET) == 202
        until(partial(is_converged, group, leader, commit), "it converges", SETTLED_S)
        times.append(time.monotonic() - began)
    group.choose(lambda _name, call: slow_writes(0, call))
    if times:
        slow = max(times)
        _say(f"{count} commits with a webhook, to converged: median {statistics.median(times):.2f} s, max {slow:.2f} s")


def _strike(
    group: Group, repository: Repository, number: int, strike: Strike, standing: Standing, chance: random.Random
) -> Outcome:
    """Strike the leader in an apply, and hold what came of it against what the engines did."""
    wanted, before = (number + 1) % 2, number % 2
    group.await_all()
    leader = group.settled_leader()
    for proxy in group.proxies.values():
        proxy.done.clear()
    sent = {name: len(group.writes(name)) for name in NAMES}
    commit = repository.commit(f"strike {number}", **stacks(wanted))
    assert group.controllers[leader].webhook({"source": "infra"}, SECRET) == 202
    until(lambda: any(len(group.writes(name)) > sent[name] for name in NAMES), "the apply has begun", SETTLED_S)
    time.sleep(chance.uniform(0, STACKS * WRITE_S))
    leader = group.leader()  # on a slow machine another may lead by now
    epoch = group.epochs()[leader]
    outcome = Outcome(strike.name, leader, group.done().total(), started=strike.all_die)
    at = time.time()
    strike.begin(group, leader)
    outcome.seconds = _first_leading(group, epoch) - at
    outcome.converged = _converges(group, commit, epoch, outcome)
    strike.end(group, leader)
    outcome.done = group.done()
    outcome.sent = sum(len(group.writes(name)) - sent[name] for name in NAMES)
    audit(group, outcome, group.settled_leader(commit, after=epoch), commit, before, standing)
    return outcome


def _first_leading(group: Group, epoch: int) -> float:
    """When somebody began to lead after an epoch, in seconds since 1970."""

    def moments() -> list[float]:
        group.start_ended()
        lines = [line for one in group.controllers.values() for line in one.lines("leading") if line["epoch"] > epoch]
        return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines]

    return float(min(until(moments, "somebody leads", SETTLED_S)))


def _converges(group: Group, commit: str, epoch: int, outcome: Outcome) -> bool:
    def has() -> bool:
        group.start_ended()
        return is_converged(group, group.leader(epoch), commit)

    try:
        return bool(until(has, "it converges under another", SETTLED_S))
    except AssertionError as error:
        outcome.complaints.append(f"not converged: {error}")
        return False


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
