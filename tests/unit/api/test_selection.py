"""Which objects a request means, and what the lists tell of services."""

from __future__ import annotations

import pytest

from reconciler.api.names import a_name
from reconciler.api.selection import one_value_a_label, select, service_status, without_empty
from reconciler.model.objects import Kind, ObservedObject
from reconciler.model.tasks import ObservedTask, TaskState


@pytest.mark.parametrize(
    ("asked", "stands"),
    [(("a", "b=c"), ("a", "b=c")), (("a=1", "a=2"), ("a=2",)), (("a=",), ("a",)), (("a=b=c", "a"), ("a",))],
)
def test_of_values_for_one_label_the_last_one_stands(asked: tuple[str, ...], stands: tuple[str, ...]) -> None:
    assert one_value_a_label({"label": asked, "name": ("x", "y")}) == {"label": stands, "name": ("x", "y")}


def test_a_name_by_chance_is_two_words_and_nobodys_else() -> None:
    taken: set[str] = set()
    for _ in range(200):
        name = a_name(taken)
        assert name not in taken
        assert name.count("_") == 1
        taken.add(name)


def job_task(iteration: int, state: TaskState) -> ObservedTask:
    raw = {
        "ID": f"{iteration}-{state}",
        "ServiceID": "j",
        "DesiredState": "complete",
        "Status": {"State": state.api_name},
        "JobIteration": {"Index": iteration},
    }
    return ObservedTask.from_api(raw, up_to_date=True)


def test_a_job_counts_the_tasks_of_its_iteration_only() -> None:
    spec = {"Mode": {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}}
    raw = {"Spec": spec, "JobStatus": {"JobIteration": {"Index": 2}}}
    job = ObservedObject(Kind.SERVICE, "j", "job", 1, spec, raw)
    tasks = [job_task(number, state) for number in (1, 2) for state in (TaskState.RUNNING, TaskState.COMPLETE)]
    assert service_status(job, tasks) == {"RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 1}


@pytest.mark.parametrize("kind", [Kind.SECRET, Kind.CONFIG])
def test_secrets_and_configs_are_found_by_any_of_ids_and_names(kind: Kind) -> None:
    found = [ObservedObject(kind, f"id{n}", f"name{n}", 1, {"Labels": {"n": f"{n}"}}, {}) for n in (1, 2, 3)]
    asked = {"id": ("id1",), "name": ("name3",)}
    assert [one.id for one in select(found, kind, asked)] == ["id1", "id3"]
    assert [one.id for one in select(found, kind, {**asked, "label": ("n=3",)})] == ["id3"]


def test_empty_values_are_passed_over_where_an_engine_does() -> None:
    filters = {"role": ("", "worker"), "membership": ("",), "name": ("",)}
    assert without_empty(filters, {"role", "membership"}) == {"role": ("worker",), "name": ("",)}
