"""What a client sends that its version of the API does not have, an engine takes for not sent."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reconciler.api.older_clients import forget_newer
from tests.unit.api.conftest import Api

WHOLE: Any = {
    "Name": "web",
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "i",
            "Sysctls": {"a": "1"},
            "CapabilityAdd": ["CAP_SYS_TIME"],
            "OomScoreAdj": 5,
            "Healthcheck": {"Test": ["NONE"], "StartInterval": 5_000_000},
        },
        "Placement": {"MaxReplicas": 3},
        "Resources": {"Limits": {"Pids": 5, "NanoCPUs": 100_000_000}},
    },
    "Mode": {"ReplicatedJob": {"TotalCompletions": 0}},
}


@pytest.mark.parametrize(
    ("version", "left"),
    [
        ("1.39", {"Image": "i", "Healthcheck": {"Test": ["NONE"]}}),
        ("1.40", {"Image": "i", "Healthcheck": {"Test": ["NONE"]}, "Sysctls": {"a": "1"}}),
        ("1.43", {**WHOLE["TaskTemplate"]["ContainerSpec"], "Healthcheck": {"Test": ["NONE"]}, "OomScoreAdj": None}),
        ("1.46", WHOLE["TaskTemplate"]["ContainerSpec"]),
        (None, WHOLE["TaskTemplate"]["ContainerSpec"]),
    ],
)
def test_fields_of_newer_versions_are_dropped(version: str | None, left: dict[str, object]) -> None:
    spec = copy.deepcopy(WHOLE)
    forget_newer(spec, version)
    assert spec["TaskTemplate"]["ContainerSpec"] == {key: value for key, value in left.items() if value is not None}
    older_than_jobs = version in ("1.39", "1.40")
    assert spec["Mode"] == ({} if older_than_jobs else WHOLE["Mode"])
    limits = {"NanoCPUs": 100_000_000} if older_than_jobs else {"Pids": 5, "NanoCPUs": 100_000_000}
    assert spec["TaskTemplate"]["Resources"]["Limits"] == limits
    assert spec["TaskTemplate"]["Placement"] == ({} if version == "1.39" else {"MaxReplicas": 3})


async def test_tasks_are_counted_for_clients_that_may_ask_for_it(api: Api) -> None:
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "Mode": {"Replicated": {"Replicas": 0}}}
    await api.ask("POST", "/services/create", json=body)
    for version, is_told in (("1.40", False), ("1.41", True)):
        (service,) = (await api.ask("GET", f"/v{version}/services?status=true")).json
        assert ("ServiceStatus" in service) == is_told
    refused = await api.ask("GET", "/v1.41/services?status=maybe")
    assert refused.status == 400
    assert refused.message == 'invalid value for status: maybe: strconv.ParseBool: parsing "maybe": invalid syntax'
