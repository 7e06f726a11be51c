"""What only several looks tell: staying up, failing again and again, finding no node."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.controller.assess import ENDED_WELL, EVICTED
from reconciler.controller.misplaced import MISPLACED_GRACE_S
from reconciler.controller.watch import FAILURES_MAX, UNALLOCATED_GRACE_S, UNSCHEDULABLE_GRACE_S, Watch
from reconciler.model.endings import exit_code, problem_of
from reconciler.model.errors import ErrorCode, ExitCode
from reconciler.model.objects import Kind
from reconciler.model.progress import Verdict
from reconciler.model.tasks import ObservedTask
from tests.unit.planning.builders import a_node, actual, observed, service_spec

NO_NODE = "no suitable node (scheduling constraints not satisfied on 3 nodes)"


def a_task(name: str, state: str, *, service: str = "svc", desired: str = "running", error: str = "", **raw):
    status = {"State": state, "Err": error, "Timestamp": f"2026-01-01T00:00:{len(name):02d}Z"}
    body = {"ID": name, "ServiceID": service, "Slot": 1, "NodeID": "id-n1", "DesiredState": desired, "Status": status}
    return ObservedTask.from_api({**body, **raw}, up_to_date=True)


def cluster_of(*tasks: ObservedTask, replicas: int = 1, spec: dict | None = None, others=(), **raw):
    body = spec or service_spec(replicas=replicas)
    service = observed(Kind.SERVICE, body, object_id="svc", **raw)
    return actual(service, *others, a_node("n1"), tasks=tasks)


def a_watch(*names: str, before=None) -> Watch:
    return Watch(names or ("web_api",), before, names or ("web_api",))


def failures(count: int) -> list[ObservedTask]:
    return [a_task("f" * (n + 1), "failed", desired="shutdown", error=f"exit {n}") for n in range(count)]


def test_a_task_that_runs_must_go_on_running_for_the_monitor_period():
    watch, state = a_watch(), cluster_of(a_task("a", "running"))
    assert watch.look(state, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, 4.9)[0].verdict is Verdict.PROGRESSING
    assert watch.look(cluster_of(a_task("b", "running")), 5.1)[0].verdict is Verdict.PROGRESSING
    assert watch.look(cluster_of(a_task("b", "running")), 10.2)[0].verdict is Verdict.CONVERGED


def test_a_completed_update_was_watched_by_the_swarm_unless_we_saw_tasks_fail():
    completed = {"State": "completed"}
    state = cluster_of(a_task("a", "running"), UpdateStatus=completed)
    assert a_watch().look(state, 0.0)[0].verdict is Verdict.CONVERGED
    watch, crashed = a_watch(), cluster_of(*failures(1), a_task("a", "running"), UpdateStatus=completed)
    assert watch.look(crashed, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(crashed, 5.0)[0].verdict is Verdict.CONVERGED


def test_zero_replicas_converge_at_once():
    state = cluster_of(a_task("a", "running", desired="remove"), replicas=0)
    assert a_watch().look(state, 0.0)[0].verdict is Verdict.CONVERGED


@pytest.mark.parametrize("monitor_s", [1, 5])
def test_a_global_service_that_no_node_fits_converges_once_its_tasks_would_have_been_made(monitor_s: int):
    watching = {"UpdateConfig": {"Monitor": monitor_s * 10**9}}
    state = cluster_of(spec={**service_spec(), "Mode": {"Global": {}}, **watching})
    watch = a_watch()
    assert watch.look(state, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, 4.9)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, 5.0)[0].verdict is Verdict.CONVERGED


def test_a_slot_that_failed_three_times_is_failing_and_its_node_is_named():
    waiting = a_task("w", "ready", desired="ready")
    watch = a_watch()
    assert watch.look(cluster_of(*failures(FAILURES_MAX - 1), waiting), 0.0)[0].verdict is Verdict.PROGRESSING
    look = watch.look(cluster_of(*failures(FAILURES_MAX), waiting), 9.0)[0]
    assert (look.verdict, look.message) == (Verdict.FAILING, "task 1 on n1 failed: exit 2")
    assert watch.failure_of("web_api").id == "fff"


def test_failures_add_up_though_the_swarm_forgets_them():
    watch = a_watch()
    for number, one in enumerate(failures(FAILURES_MAX)):
        look = watch.look(cluster_of(one, a_task("w", "ready", desired="ready")), float(number))[0]
    assert look.verdict is Verdict.FAILING


def test_what_had_failed_before_the_apply_does_not_count():
    old = failures(FAILURES_MAX)
    watch = a_watch(before=cluster_of(*old))
    assert watch.look(cluster_of(*old, a_task("w", "starting")), 0.0)[0].verdict is Verdict.PROGRESSING


def test_while_an_update_is_judged_by_the_swarm_failures_are_its_business():
    tasks = (*failures(FAILURES_MAX), a_task("w", "ready", desired="ready"))
    judged = cluster_of(*tasks, UpdateStatus={"State": "updating"})
    assert a_watch().look(judged, 0.0)[0].verdict is Verdict.PROGRESSING
    spec = {**service_spec(replicas=1), "UpdateConfig": {"FailureAction": "continue"}}
    unjudged = cluster_of(*tasks, spec=spec, UpdateStatus={"State": "updating"})
    assert a_watch().look(unjudged, 0.0)[0].verdict is Verdict.FAILING


def test_a_restart_policy_that_has_given_up_ends_it_after_a_moment():
    watch, state = a_watch(), cluster_of(*failures(1))
    assert watch.look(state, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, 1.1)[0].verdict is Verdict.FAILING


def test_a_policy_that_counts_attempts_is_left_to_judge():
    spec = service_spec(replicas=1)
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "MaxAttempts": 5}
    waiting = a_task("w", "ready", desired="ready")
    assert a_watch().look(cluster_of(*failures(5), waiting, spec=spec), 0.0)[0].verdict is Verdict.PROGRESSING
    assert a_watch().look(cluster_of(*failures(6), waiting, spec=spec), 0.0)[0].verdict is Verdict.FAILING


def test_a_task_without_a_node_is_unschedulable_once_its_reason_has_stood_for_long_enough():
    watch, state = a_watch(), cluster_of(a_task("p", "pending", error=NO_NODE, NodeID=""))
    assert watch.look(state, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, UNSCHEDULABLE_GRACE_S - 1)[0].verdict is Verdict.PROGRESSING
    look = watch.look(state, UNSCHEDULABLE_GRACE_S)[0]
    assert (look.verdict, look.message) == (Verdict.UNSCHEDULABLE, f"task 1 pending: {NO_NODE}")


def test_a_global_service_is_told_why_the_one_node_of_a_task_does_not_take_it():
    spec = {**service_spec(), "Mode": {"Global": {}}}
    refused = a_task("p", "pending", error="host-mode port already in use on 1 node", Slot=0)
    watch, state = a_watch(), cluster_of(refused, spec=spec)
    watch.look(state, 0.0)
    look = watch.look(state, UNSCHEDULABLE_GRACE_S)[0]
    told = "task on n1 pending: host-mode port already in use on 1 node"
    assert (look.verdict, look.message) == (Verdict.UNSCHEDULABLE, told)


def test_it_may_stall_an_update_for_ever_and_is_told_there_too():
    watch = a_watch()
    state = cluster_of(a_task("p", "pending", error=NO_NODE), UpdateStatus={"State": "updating"})
    watch.look(state, 0.0)
    assert watch.look(state, UNSCHEDULABLE_GRACE_S)[0].verdict is Verdict.UNSCHEDULABLE


def test_while_something_still_stops_room_may_come():
    waiting = a_task("p", "pending", error=NO_NODE, NodeID="")
    stopping = a_task("s", "running", desired="shutdown", service="another")
    watch = a_watch()
    watch.look(cluster_of(waiting, stopping), 0.0)
    assert watch.look(cluster_of(waiting, stopping), 60.0)[0].verdict is Verdict.PROGRESSING
    watch.look(cluster_of(waiting), 61.0)
    assert watch.look(cluster_of(waiting), 61.0 + UNSCHEDULABLE_GRACE_S)[0].verdict is Verdict.UNSCHEDULABLE


def unallocated(count: int) -> list[ObservedTask]:
    return [a_task("n" * (number + 1), "new", NodeID="") for number in range(count)]


def test_tasks_that_stay_new_are_unschedulable_once_nothing_has_moved_for_long():
    watch, state = a_watch(), cluster_of(a_task("r", "running"), *unallocated(3), replicas=4)
    assert watch.look(state, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(state, UNALLOCATED_GRACE_S - 1)[0].verdict is Verdict.PROGRESSING
    look = watch.look(state, UNALLOCATED_GRACE_S)[0]
    reason = "3 tasks stay new: Swarm finds no address for them, or can't allocate a network"
    assert (look.verdict, look.message) == (Verdict.UNSCHEDULABLE, reason)
    assert exit_code([problem_of(look)]) is ExitCode.UNSCHEDULABLE


def test_what_moves_there_or_at_another_awaited_service_gives_them_more_time():
    other = observed(Kind.SERVICE, {**service_spec("web_db", replicas=1)}, object_id="db")

    def at(own: str, others: str):
        tasks = (a_task("r", own), a_task("d", others, service="db"), *unallocated(1))
        return cluster_of(*tasks, replicas=2, others=(other,))

    watch, grace_s = a_watch("web_api", "web_db"), UNALLOCATED_GRACE_S
    watch.look(at("preparing", "preparing"), 0.0)
    assert watch.look(at("starting", "preparing"), grace_s)[0].verdict is Verdict.PROGRESSING
    assert watch.look(at("starting", "starting"), 2 * grace_s)[0].verdict is Verdict.PROGRESSING
    looks = watch.look(at("starting", "starting"), 3 * grace_s)
    assert [look.verdict for look in looks] == [Verdict.UNSCHEDULABLE, Verdict.PROGRESSING]


def test_a_task_that_still_stops_may_free_an_address():
    stopping = a_task("s", "running", desired="shutdown", service="another")
    watch = a_watch()
    watch.look(cluster_of(*unallocated(1), stopping), 0.0)
    assert watch.look(cluster_of(*unallocated(1), stopping), 100.0)[0].verdict is Verdict.PROGRESSING
    watch.look(cluster_of(*unallocated(1)), 101.0)
    look = watch.look(cluster_of(*unallocated(1)), 101.0 + UNALLOCATED_GRACE_S)[0]
    assert look.verdict is Verdict.UNSCHEDULABLE


def test_tasks_that_stay_new_are_told_that_way_when_the_time_is_over_first():
    watch, state = a_watch(), cluster_of(*unallocated(1))
    look = watch.at_the_end(watch.look(state, 0.0), state)[0]
    assert look.verdict is Verdict.UNSCHEDULABLE
    assert look.message == "1 task stays new: Swarm finds no address for it, or can't allocate a network"


def test_when_the_time_is_over_the_reason_decides_what_it_is():
    pending = cluster_of(a_task("p", "pending", error=NO_NODE, NodeID=""))
    watch = a_watch()
    assert watch.at_the_end(watch.look(pending, 0.0), pending)[0].verdict is Verdict.UNSCHEDULABLE
    starting = cluster_of(a_task("s", "starting"))
    assert watch.at_the_end(watch.look(starting, 1.0), starting)[0].verdict is Verdict.TIMED_OUT


def test_what_may_have_failed_for_lack_of_another_service_gets_new_tries_once_that_one_runs():
    other = observed(Kind.SERVICE, {**service_spec("web_db", replicas=1)}, object_id="db")
    running = a_task("d", "running", service="db")
    tasks = (*failures(FAILURES_MAX), a_task("w", "ready", desired="ready"))
    watch = a_watch("web_api", "web_db")
    watch.look(cluster_of(*tasks, running, others=(other,)), 0.0)
    assert watch.look(cluster_of(*tasks, running, others=(other,)), 4.0)[0].verdict is Verdict.FAILING
    assert watch.look(cluster_of(*tasks, running, others=(other,)), 5.0)[1].verdict is Verdict.CONVERGED
    assert watch.look(cluster_of(*tasks, running, others=(other,)), 5.2)[0].verdict is Verdict.PROGRESSING


def test_a_service_that_may_end_is_done_when_its_task_has_ended_well():
    spec = service_spec(replicas=1)
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "on-failure"}
    ended = a_task("a", "complete", desired="shutdown")
    watch = a_watch()
    watch.look(cluster_of(ended, spec=spec), 0.0)
    assert watch.look(cluster_of(ended, spec=spec), 5.0)[0].verdict is Verdict.CONVERGED


def test_a_service_whose_task_ends_well_and_is_started_anew_is_failing_all_the_same():
    ends = [a_task("e" * (n + 1), "complete", desired="shutdown") for n in range(FAILURES_MAX)]
    watch = a_watch()
    look = watch.look(cluster_of(*ends, a_task("w", "ready", desired="ready")), 0.0)[0]
    assert (look.verdict, look.message) == (Verdict.FAILING, f"task 1 on n1 complete: {ENDED_WELL}")
    failed = watch.failure_of("web_api")
    assert failed is not None, "its log is told"
    assert failed.id in {one.id for one in ends}


def test_an_update_that_swarm_paused_because_a_task_ended_well_names_that_task():
    paused = {"State": "paused", "Message": "update paused due to failure or early termination of task e"}
    state = cluster_of(a_task("e", "complete", desired="shutdown"), UpdateStatus=paused)
    look = a_watch().look(state, 0.0)[0]
    assert look.message == f"{paused['Message']}; task 1 on n1 complete: {ENDED_WELL}"


def test_of_what_had_failed_before_the_last_one_is_told_where_no_other_fails():
    old = cluster_of(*failures(2))
    watch = a_watch(before=old)
    watch.look(old, 0.0)
    assert watch.look(old, 1.1)[0].verdict is Verdict.FAILING
    assert watch.failure_of("web_api").id == "ff"


JOB = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}


def a_job(*tasks: ObservedTask, mode: dict | None = None, began: str = "2026-01-01T00:00:00Z", **policy):
    spec = {**service_spec(), "Mode": mode or JOB}
    spec["TaskTemplate"]["RestartPolicy"] = policy
    return cluster_of(*tasks, spec=spec, JobStatus={"JobIteration": {"Index": 0}, "LastExecution": began})


def test_a_finished_job_is_converged_at_once_and_one_that_failed_for_good_is_failing():
    done = a_job(a_task("c", "complete", desired="complete"))
    assert a_watch().look(done, 0.0)[0].verdict is Verdict.CONVERGED
    failed, watch = a_job(a_task("f", "failed", desired="shutdown", error="exit 1"), Condition="none"), a_watch()
    watch.look(failed, 0.0)
    assert watch.look(failed, 1.1)[0].verdict is Verdict.FAILING


def test_a_job_that_takes_longer_than_the_time_is_told_to_be_incomplete_and_not_to_be_down():
    state, watch = a_job(a_task("r", "running", desired="complete")), a_watch()
    (look,) = watch.at_the_end(watch.look(state, 0.0), state)
    assert look.verdict is Verdict.TIMED_OUT
    assert look.message == "its tasks have not all completed yet: task 1 on n1 is still running"


def timed_out_because(*tasks: ObservedTask, check: dict[str, Any] | None = None) -> str:
    state, watch = cluster_of(*tasks, spec=service_spec(replicas=2, Healthcheck=check)), a_watch()
    (look,) = watch.at_the_end(watch.look(state, 0.0), state)
    assert look.verdict is Verdict.TIMED_OUT
    return look.message.removeprefix("its tasks are not all running yet: ")


def test_when_the_time_is_over_the_task_that_has_waited_longest_is_told():
    slow, slower = a_task("bb", "preparing", Slot=2), a_task("a", "preparing")
    assert timed_out_because(slow, slower) == "task 1 on n1 is still preparing (and 1 more task)"
    assert timed_out_because(a_task("a", "starting")) == "task 1 on n1 is still starting"


def test_a_health_check_that_never_succeeds_is_told_when_the_time_is_over():
    told = timed_out_because(a_task("a", "starting"), check={"Test": ["curl", "localhost"]})
    assert told == "task 1 on n1 is still starting, its health check has not succeeded so far"
    assert timed_out_because(a_task("a", "starting"), check={"Test": ["NONE"]}) == "task 1 on n1 is still starting"


def test_a_former_task_that_does_not_stop_is_told_when_the_time_is_over():
    former = replace(a_task("a", "running", desired="shutdown"), up_to_date=False)
    told = timed_out_because(former, a_task("b", "ready", desired="ready"))
    assert told == "task 1 on n1 waits for the former task 1 on n1, which was told to stop and has not"


def test_a_failed_node_of_a_global_job_is_not_forgotten():
    tasks = (
        a_task("c", "complete", desired="complete", NodeID="id-n2"),
        a_task("f", "failed", desired="shutdown", error="exit 1"),
    )
    state, watch = a_job(*tasks, mode={"GlobalJob": {}}, Condition="none"), a_watch()
    assert (watch.look(state, 0.0)[0].running, watch.look(state, 0.0)[0].wanted) == (1, 2)
    assert watch.look(state, 1.1)[0].verdict is Verdict.FAILING


def turned_away(name: str, node: str = "id-n1") -> ObservedTask:
    """A task of a global job that the swarm rejected, since its node lacks what the task reserves."""
    status = {
        "State": "rejected",
        "Err": "assigned node no longer meets constraints",
        "Message": EVICTED,
        "Timestamp": f"2026-01-01T00:00:{len(name):02d}Z",
    }
    return a_task(name, "rejected", desired="shutdown", Status=status, NodeID=node, Slot=0)


def test_a_global_job_whose_tasks_a_node_rejects_again_and_again_fits_there_not():
    everywhere: dict = {"GlobalJob": {}}
    watch = a_watch()
    again = a_task("next", "new", desired="ready", Slot=0)
    for times in (1, 2):
        tasks = [turned_away("r" * (n + 1)) for n in range(times)]
        look = watch.look(a_job(*tasks, again, mode=everywhere), 5.0 * times)[0]
        assert look.verdict is Verdict.PROGRESSING
    state = a_job(*(turned_away("r" * (n + 1)) for n in range(3)), again, mode=everywhere)
    look = watch.look(state, 15.0)[0]
    assert look.verdict is Verdict.UNSCHEDULABLE
    assert look.message == "task on n1 rejected: the node lacks what it reserves"
    early = a_watch()
    (look,) = early.at_the_end(early.look(a_job(turned_away("r"), again, mode=everywhere), 0.0), state)
    assert look.verdict is Verdict.UNSCHEDULABLE
    once = a_job(turned_away("r"), mode=everywhere, Condition="none")
    assert a_watch().look(once, 0.0)[0].verdict is Verdict.UNSCHEDULABLE


def test_a_global_job_that_has_run_there_or_lost_its_node_is_not_short_of_room():
    rejected = [turned_away("r" * (n + 1)) for n in range(3)]
    runs = a_job(*rejected, a_task("last", "running", desired="complete", Slot=0), mode={"GlobalJob": {}})
    assert a_watch().look(runs, 0.0)[0].verdict is Verdict.PROGRESSING
    gone = a_job(*(turned_away(one.id, "id-n2") for one in rejected), mode={"GlobalJob": {}})
    assert a_watch().look(gone, 0.0)[0].verdict is not Verdict.UNSCHEDULABLE


def test_a_job_whose_tasks_were_cleared_away_never_hangs():
    assert a_watch().look(a_job(began="2025-12-01T00:00:00Z"), 0.0)[0].verdict is Verdict.CONVERGED
    watch, just_begun = a_watch(), a_job()
    assert watch.look(just_begun, 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(just_begun, 5.0)[0].verdict is Verdict.CONVERGED


def test_a_rollback_before_this_apply_is_an_old_story():
    state = cluster_of(a_task("a", "running"), UpdateStatus={"State": "rollback_completed"})
    told = Watch(("web_api",), None, ("web_api",)).look(state, 0.0)[0]
    untouched = Watch(("web_api",), None, ())
    untouched.look(state, 0.0)
    assert told.verdict is Verdict.ROLLED_BACK
    assert untouched.look(state, 5.0)[0].verdict is Verdict.CONVERGED


def test_a_removed_service_is_missing():
    assert a_watch().look(actual(), 0.0)[0].verdict is Verdict.MISSING


def test_a_service_that_somebody_else_writes_to_while_we_wait_is_not_ours_any_more():
    def seen(version: int, status: dict | None = None, **spec):
        body = {**service_spec(), **spec}
        return cluster_of(a_task("a", "running"), spec=body, version=version, UpdateStatus=status or {})

    watch = a_watch()
    assert watch.look(seen(7), 0.0)[0].verdict is Verdict.PROGRESSING
    assert watch.look(seen(8), 0.1)[0].verdict is Verdict.PROGRESSING, "the swarm itself writes to it"
    rolled_back = seen(9, {"State": "rollback_completed"}, Labels={"what": "was before"})
    assert watch.look(rolled_back, 0.2)[0].verdict is Verdict.ROLLED_BACK, "the swarm itself puts it back"
    told = watch.look(seen(10, Labels={"by": "hand"}), 0.3)[0]
    assert told.verdict is Verdict.CHANGED
    assert exit_code([problem_of(told)]) is ExitCode.ERROR
    assert problem_of(told).code is ErrorCode.STALE_VERSION
    assert problem_of(told).what == "Service web_api: changed by someone else, 1 of 3 tasks running."


def test_tasks_on_a_node_that_suits_them_no_more_are_about_to_end_but_not_waited_for_for_ever():
    body = service_spec(replicas=1)
    body["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.zone == a"]}
    state = replace(cluster_of(a_task("a", "running"), spec=body), nodes=(a_node("n1", Labels={"zone": "b"}),))
    watch = a_watch()
    assert watch.look(state, 0.0)[0].message == "1 task on nodes that don't suit it any more"
    assert watch.look(state, MISPLACED_GRACE_S - 0.1)[0].verdict is Verdict.PROGRESSING
    assert (
        watch.look(replace(state, nodes=(a_node("n1", Labels={"zone": "b"}),)), 11.0)[0].verdict is Verdict.PROGRESSING
    )
    assert watch.look(state, 17.0)[0].verdict is Verdict.CONVERGED


@pytest.mark.parametrize("node", [{"Labels": {"zone": "a"}}, {"Availability": "pause"}])
def test_tasks_on_nodes_that_suit_them_or_are_left_alone_are_fine(node: dict):
    body = service_spec(replicas=1)
    body["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.zone == a"]}
    state = replace(cluster_of(a_task("a", "running"), spec=body), nodes=(a_node("n1", **node),))
    watch = a_watch()
    watch.look(state, 0.0)
    assert watch.look(state, 5.1)[0].verdict is Verdict.CONVERGED
