"""Each kind of alert as people read it. The loop itself makes them, in short stories; `make golden` rewrites them."""

from __future__ import annotations

import os
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.main import get_command

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.terminal import Terminal
from reconciler.gitops.alert_text import BODY_CHARS_MAX, TITLE_CHARS_MAX, alert_text
from reconciler.gitops.laggards import look
from reconciler.gitops.notices import leader_changed, token_rotated
from reconciler.model.alerts import Alert
from reconciler.model.desired import DesiredNode
from reconciler.model.errors import ErrorCode, Place
from reconciler.model.plan import Action, ActionType, Change, Origin
from reconciler.model.policies import DriftMode, Policies
from reconciler.model.progress import Verdict
from reconciler.model.replication import Address, Member
from reconciler.model.sources import SourceFault, SourceRevision
from reconciler.wiring import Wiring
from tests.unit.gitops.story import START, Story, actual, desired, node, stack, update

HERE = Path(__file__).parent / "alerts"
IMAGE = Change("TaskTemplate.ContainerSpec.Image", "shop/web:1.9.0-debug", "shop/web:1.8.2", origin=Origin.DRIFT)
REPLICAS = Change("Mode.Replicated.Replicas", 1, 4, origin=Origin.DRIFT)
SUBJECTS = {"5be91d3f": "web: 1.8.2", "c20f7a64": "web: 1.9.0", "90d4e1b7": "web: 1.9.1, with the missing variable"}


def revision(number: int = 1) -> SourceRevision:
    start, subject = list(SUBJECTS.items())[number - 1]
    author = "Ada Lovelace <ada@example.org>"
    return SourceRevision(start * 5, f"tree-{number}", "refs/heads/main", author, subject, START)


def drifted(*changes: Change) -> Action:
    return replace(update("web_api", Origin.DRIFT), changes=tuple(replace(one, applied=one.new) for one in changes))


def converged() -> Story:
    story = Story().found(revision())
    story.sees(update("web_api"))
    story.applied()
    story.alerts.clear()
    return story.wait(minutes=5)


def deployed() -> Alert:
    story = Story().found(revision())
    story.sees(update("web_api"))
    story.applied()
    return story.alerts[-1]


def failed() -> Alert:
    story = converged()
    story.found(revision(2)).sees(update("web_api"))
    story.applied(verdicts={"web_api": Verdict.FAILING})
    story.wait(seconds=10).sees(update("web_api"))
    return story.alerts[-1]


def works_again() -> Alert:
    story = converged()
    story.found(revision(2)).sees(update("web_api"))
    story.applied(verdicts={"web_api": Verdict.FAILING})
    story.wait(seconds=10).sees(update("web_api"))
    story.wait(minutes=12).found(revision(3)).sees(update("web_api"))
    story.applied()
    story.alerts.clear()
    story.wait(seconds=5).sees()
    return story.alerts[-1]


def rolled_back() -> Alert:
    story = converged()
    story.found(revision(2)).sees(update("web_api"))
    story.applied(undone=("web",))
    story.wait(seconds=10).sees(update("web_api"))
    return story.alerts[-1]


def drift(mode: DriftMode) -> Alert:
    story = converged()
    story.policies = Policies(drift=mode)
    story.sees(drifted(IMAGE, REPLICAS))
    return story.alerts[-1]


def drift_healed() -> Alert:
    story = converged()
    story.sees(drifted(IMAGE))
    story.applied()
    story.wait(seconds=72).sees()
    return story.alerts[-1]


def drift_grew() -> Alert:
    story = converged()
    story.policies = Policies(drift=DriftMode.REPORT)
    story.sees(drifted(IMAGE))
    story.wait(hours=3).sees(drifted(IMAGE, REPLICAS))
    return story.alerts[-1]


def drift_flaps() -> Alert:
    story = converged()
    story.policies = Policies(drift=DriftMode.REPORT)
    for _ in range(4):
        story.wait(minutes=2).sees(drifted(IMAGE))
        story.wait(minutes=2).sees()
    return story.alerts[-1]


def gone() -> Alert:
    story = converged()
    story.sees(replace(drifted(), type=ActionType.CREATE))
    return story.alerts[-1]


def not_ours() -> Alert:
    story = converged()
    story.policies = Policies(drift=DriftMode.REPORT)
    story.sees(replace(drifted(), id="service.web_debug", name="web_debug", type=ActionType.DELETE))
    return story.alerts[-1]


def drift_of_no_stack(mode: DriftMode) -> Alert:
    story = converged()
    story.policies = Policies(drift=mode)
    story.sees(replace(drifted(IMAGE), id="network.front", name="front", stack=None))
    return story.alerts[-1]


def node_down() -> Alert:
    story = converged()
    story.sees(cluster=actual(node("node1", "down")))
    return story.alerts[-1]


def listed(hostname: str) -> DesiredNode:
    return DesiredNode(hostname, False, None, None, None, Place("swarm.yaml", 9, 5))


def node_missing() -> Alert:
    story = converged()
    story.wanted = desired(stack("web"), nodes=(listed("node4"),))
    story.sees()
    return story.alerts[-1]


def node_not_listed() -> Alert:
    story = converged()
    story.wanted = desired(stack("web"), nodes=(listed("node1"),))
    story.sees(cluster=actual(node("node1"), node("node9")))
    return story.alerts[-1]


def node_back() -> Alert:
    story = converged()
    story.sees(cluster=actual(node("node1", "down")))
    story.wait(minutes=3, seconds=20).sees(cluster=actual(node("node1")))
    return story.alerts[-1]


def node_forgotten() -> Alert:
    story = converged()
    story.wanted = desired(stack("web"), nodes=(listed("node4"),))
    story.sees()
    story.wanted = desired(stack("web"))
    story.wait(minutes=3).sees()
    return story.alerts[-1]


def signature_refused() -> Alert:
    story = converged()
    story.found(SourceFault(ErrorCode.SIGNATURE_MISSING, "The commit is not signed.", commit="b" * 40)).sees()
    return story.alerts[-1]


def source_fails() -> Alert:
    story = converged()
    why = SourceFault(ErrorCode.SOURCE_REFUSED, "The remote refused us.", "Its answer was 403.")
    story.found(why).sees()
    return story.alerts[-1]


def work_tree_fails() -> Alert:
    story = Story().found(replace(revision(), commit=""))
    story.sees()
    why = SourceFault(ErrorCode.PATH_NOT_FOUND, "`/srv/infra` does not exist.", "There is no such file or folder.")
    story.found(why).sees()
    return story.alerts[-1]


def manifests_wrong() -> Alert:
    story = converged()
    what = "`replica` is no key of `services.web.deploy`."
    story.found(SourceFault(ErrorCode.UNKNOWN_KEY, what, commit="b" * 40)).sees()
    return story.alerts[-1]


def cluster_silent() -> Alert:
    story = converged()
    story.sees_nothing(failures=3)
    return story.alerts[-1]


def leader() -> Alert:
    made = leader_changed("controller-2", "controller-1", 4711, START)
    assert made
    return made


def laggards(*, refuses: bool) -> Alert:
    why = "The snapshot has format 3, and this version of swarmctl reads formats up to 2. (snapshot-too-new)"
    at = Address("10.0.0.3", 7946)
    first = look({}, [Member("node3", at, voter=True, leader=False, behind=9000, refuses=why)], 9120, START)
    if refuses:
        return first.alerts[0]
    later = START + timedelta(minutes=20)
    return look(first.found, [Member("node3", at, voter=True, leader=False, behind=3)], 9150, later).alerts[0]


STORIES = {
    "deployed": deployed,
    "failed": failed,
    "works-again": works_again,
    "rolled-back": rolled_back,
    "drift-healing": lambda: drift(DriftMode.HEAL),
    "drift-reported": lambda: drift(DriftMode.REPORT),
    "drift-grew": drift_grew,
    "drift-flaps": drift_flaps,
    "healed": drift_healed,
    "gone": gone,
    "not-ours": not_ours,
    "node-down": node_down,
    "node-missing": node_missing,
    "node-not-listed": node_not_listed,
    "node-back": node_back,
    "node-forgotten": node_forgotten,
    "signature-refused": signature_refused,
    "source-fails": source_fails,
    "work-tree-fails": work_tree_fails,
    "manifests-wrong": manifests_wrong,
    "cluster-silent": cluster_silent,
    "leader-changed": leader,
    "controller-behind": lambda: laggards(refuses=True),
    "controller-caught-up": lambda: laggards(refuses=False),
    "token-rotated": lambda: token_rotated("worker", "It was 30 days old.", START + timedelta(days=30)),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_alert_reads_as_it_is_kept_here(name: str) -> None:
    text = alert_text(STORIES[name](), "prod")
    assert len(text.body) <= BODY_CHARS_MAX
    assert len(text.title) <= TITLE_CHARS_MAX
    shown = f"{text.title}\n\n{text.body}\n"
    golden = HERE / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown)
    assert shown == golden.read_text(), f"{golden} differs; run `make golden` and read the difference"


@pytest.mark.parametrize("name", STORIES)
def test_each_command_of_an_alert_is_one_that_swarmctl_takes(name: str) -> None:
    for command in STORIES[name]().commands:
        _take(shlex.split(command))


@pytest.mark.parametrize(("mode", "verb"), [(DriftMode.HEAL, "suspend"), (DriftMode.REPORT, "sync")])
def test_what_belongs_to_no_stack_is_named_as_a_command_takes_it(mode: DriftMode, verb: str) -> None:
    commands = drift_of_no_stack(mode).commands
    assert commands == ("swarmctl diff", f"swarmctl {verb} '(cluster)'")
    for command in commands:
        _take(shlex.split(command))


def _take(words: list[str]) -> None:
    """Have the program read a command line, without carrying it out. Raises what it raises for one that is wrong."""
    application = app.build(Wiring(settings.read({})), Terminal(), words[1:])
    command: Any = get_command(application)
    while hasattr(command, "commands"):
        command, words = command.commands[words[1]], words[1:]
    command.make_context(words[0], words[1:])
    assert words[0] != "status" or len(words) == 1, "status takes a folder, and no name of a stack or node"


def test_no_sample_is_left_over() -> None:
    assert {path.stem for path in HERE.glob("*.txt")} == set(STORIES)
