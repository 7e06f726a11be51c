"""Good and bad requests: the engine's own statuses and messages, and never a 500 for a client's fault."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from typing import Any

import pytest

from reconciler.api.queries import BODY_BYTES_MAX
from reconciler.model.objects import Kind
from tests.unit.api.conftest import Api

SERVICE = {
    "Name": "web",
    "Labels": {"com.docker.stack.namespace": "st"},
    "TaskTemplate": {"ContainerSpec": {"Image": "i", "Command": ["sleep", "1000"], "StopGracePeriod": 1_000_000_000}},
    "Mode": {"Replicated": {"Replicas": 0}},
}
GO_SAYS = r"json: cannot unmarshal|invalid character|unexpected EOF|got EOF|exceeded max depth"
SECRET_VALUE = "c3dvcmRmaXNo"
SECRET = {"Name": "key", "Labels": {}, "Data": SECRET_VALUE}


def filters(**values: Any) -> dict[str, str]:
    return {"filters": json.dumps({key.replace("__", "."): value for key, value in values.items()})}


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.41", "/v1.47"])
async def test_every_route_exists_with_and_without_a_version(api: Api, prefix: str) -> None:
    for path in ("/_ping", "/version", "/info", "/swarm", "/nodes", "/services", "/tasks", "/networks", "/secrets"):
        assert (await api.ask("GET", prefix + path)).status == 200


async def test_ping_tells_the_version_by_get_and_head(api: Api) -> None:
    for method in ("GET", "HEAD"):
        answer = await api.ask(method, "/_ping")
        assert answer.status == 200
        assert answer.headers["Api-Version"] == "1.47"
        assert answer.headers["Swarm"] == "active/manager"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.23", "client version 1.23 is too old. Minimum supported API version is 1.24, "),
        ("1.48", "client version 1.48 is too new. Maximum supported API version is 1.47"),
        ("99.0", "client version 99.0 is too new"),
    ],
)
async def test_a_version_that_is_not_spoken_is_refused(api: Api, version: str, said: str) -> None:
    answer = await api.ask("GET", f"/v{version}/services")
    assert answer.status == 400
    assert answer.message.startswith(said)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1.41/nothing"),
        ("PUT", "/services"),
        ("POST", "/networks/x/update"),
        ("GET", "/v1.x/services"),
        ("DELETE", "/tasks/x"),
    ],
)
async def test_an_unknown_route_is_page_not_found(api: Api, method: str, path: str) -> None:
    answer = await api.ask(method, path)
    assert (answer.status, answer.json) == (404, {"message": "page not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/json"),
        ("POST", "/v1.41/images/create"),
        ("HEAD", "/containers/x/archive"),
        ("GET", "/volumes"),
    ],
)
async def test_what_needs_an_engine_is_not_implemented(api: Api, method: str, path: str) -> None:
    answer = await api.ask(method, path)
    assert answer.status == 501
    if method != "HEAD":
        assert answer.message.startswith("This is an embedded swarm")


@pytest.mark.parametrize("kind", ["services", "secrets", "configs", "networks"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 900])
async def test_a_body_that_is_no_object_is_refused(api: Api, kind: str, body: bytes) -> None:
    answer = await api.ask("POST", f"/{kind}/create", data=body)
    assert answer.status == 400
    assert re.match(GO_SAYS, answer.message) or body == b"null"


@pytest.mark.parametrize("kind", ["services", "secrets", "configs", "networks"])
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"Name": 7},
        {"Name": None},
        {"Name": "x", "Labels": []},
        {"Name": "x", "Labels": {"a": 1}},
        {"Name": "x", "Data": 7},
        {"Name": "x", "Data": "not base64!"},
        {"Name": "x", "TaskTemplate": 7},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": []}},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "i", "Env": "A=1"}}},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "Mode": {"Replicated": {"Replicas": -1}}},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "Mode": {"Replicated": {"Replicas": "2"}}},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "i"}}, "EndpointSpec": {"Ports": 7}},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "i"}, "Placement": {"Constraints": [7]}}},
        {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Image": "i"}, "Networks": [7]}},
        {"Name": "x", "IPAM": 7},
        {"Name": "x", "IPAM": {"Config": [{"Subnet": "x"}]}},
        {"Name": "x", "Driver": 7},
    ],
)
async def test_a_wrong_field_is_never_a_failure_of_ours(api: Api, kind: str, wrong: dict[str, Any]) -> None:
    answer = await api.ask("POST", f"/{kind}/create", json=wrong)
    assert answer.status < 500, answer.message
    assert (await api.ask("GET", "/services")).status == 200


@pytest.mark.parametrize("path", ["nodes", "services", "secrets", "configs"])
@pytest.mark.parametrize("version", [None, "", "x", "-1", "1.5", "٣", "9" * 30])
async def test_an_update_needs_a_version(api: Api, path: str, version: str | None) -> None:
    query = {} if version is None else {"version": version}
    answer = await api.ask("POST", f"/{path}/x/update", params=query, json={})
    assert answer.status == 400
    kind = path.removesuffix("s")
    why = "" if kind in ("secret", "config") else f" '{version or ''}': strconv.ParseUint"
    assert answer.message.startswith(f"invalid {kind} version{why}")


async def test_a_body_over_the_limit_is_too_large(api: Api) -> None:
    answer = await api.ask("POST", "/configs/create", data=b" " * (BODY_BYTES_MAX + 1))
    assert answer.status == 413
    assert str(BODY_BYTES_MAX) in answer.message


async def test_the_largest_config_fits(api: Api) -> None:
    data = base64.b64encode(b"x" * 1_000_000).decode()
    assert (await api.ask("POST", "/configs/create", json={"Name": "big", "Data": data})).status == 201


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"name": 7}', '{"name": [7]}', '{"foo": ["x"]}', '{"name": "x"}', "7", "[" * 9999]
)
@pytest.mark.parametrize("path", ["services", "tasks", "nodes", "networks", "secrets", "configs", "events"])
async def test_a_bad_filter_is_refused(api: Api, path: str, text: str) -> None:
    query = {"filters": text, "until": "1"}
    answer = await api.ask("GET", f"/{path}", params=query)
    if path == "events" and "foo" in text:
        assert answer.status == 200, "events know no wrong key"
    else:
        assert answer.status == 400
        assert re.match(f"{GO_SAYS}|Invalid filter 'foo'", answer.message)


async def test_what_is_no_http_is_refused_without_a_word_in_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_unix_connection(api.host.removeprefix("unix://"))
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert caplog.text == ""


async def test_errors_are_json_without_a_charset(api: Api) -> None:
    """The docker CLI compares the whole header, and else prints the raw body."""
    answer = await api.ask("GET", "/services/nope")
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.status, answer.message) == (404, "service nope not found")


async def test_objects_are_found_by_id_name_and_prefix(api: Api) -> None:
    created = await api.ask("POST", "/services/create", json=SERVICE)
    service_id = created.json["ID"]
    assert created.status == 201
    for wanted in (service_id, "web", service_id[:8]):
        assert (await api.ask("GET", f"/services/{wanted}")).json["ID"] == service_id
    assert (await api.ask("GET", "/services/we")).status == 404


async def test_a_prefix_of_two_is_ambiguous(api: Api) -> None:
    ids = [(await api.ask("POST", "/services/create", json={**SERVICE, "Name": f"s{n}"})).json["ID"] for n in range(40)]
    first = next(one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1)
    answer = await api.ask("GET", f"/services/{first}")
    assert answer.status == 400
    assert answer.message.startswith(f"service {first} is ambiguous")


async def test_statuses_are_the_engines(api: Api) -> None:
    await api.ask("POST", "/services/create", json=SERVICE)
    again = await api.ask("POST", "/services/create", json=SERVICE)
    assert again.status == 409

    found = (await api.ask("GET", "/services/web")).json
    version = found["Version"]["Index"]
    updated = await api.ask("POST", "/services/web/update", params={"version": str(version)}, json=found["Spec"])
    assert (updated.status, "Warnings" in updated.json) == (200, True)
    stale = await api.ask("POST", "/services/web/update", params={"version": str(version)}, json=found["Spec"])
    assert stale.status == 500
    assert stale.message == "rpc error: code = Unknown desc = update out of sequence"

    assert (await api.ask("DELETE", "/services/web")).status == 200
    assert (await api.ask("DELETE", "/services/web")).status == 404
    for path, body in (("secrets", SECRET), ("configs", SECRET), ("networks", {"Name": "n", "Driver": "overlay"})):
        created = await api.ask("POST", f"/{path}/create", json=body)
        assert created.status == 201
        assert (await api.ask("DELETE", f"/{path}/{body['Name']}")).status == 204
    assert (await api.ask("GET", "/distribution/some/image:1/json")).status == 501


async def test_services_are_filtered_as_docker_does(api: Api) -> None:
    for name in ("web", "web2", "db"):
        await api.ask("POST", "/services/create", json={**SERVICE, "Name": name, "Labels": {"app": name, "all": ""}})

    async def chosen(**values: Any) -> set[str]:
        answer = await api.ask("GET", "/services", params=filters(**values))
        return {service["Spec"]["Name"] for service in answer.json}

    assert await chosen(name=["web"]) == {"web", "web2"}
    assert await chosen(name=["web", "db"]) == {"web", "web2", "db"}
    assert await chosen(name={"db": True, "web": False}) == {"db"}
    assert await chosen(label=["app=web"]) == {"web"}
    assert await chosen(label=["all", "app=db"]) == {"db"}
    assert await chosen(label=["none"]) == set()
    assert await chosen(mode=["global"]) == set()
    assert await chosen(mode=["replicated"], name=["db"]) == {"db"}
    assert await chosen(name=[]) == {"web", "web2", "db"}


async def test_nodes_are_filtered_as_docker_does(api: Api) -> None:
    async def chosen(**values: Any) -> list[str]:
        answer = await api.ask("GET", "/nodes", params=filters(**values))
        return sorted(node["Description"]["Hostname"] for node in answer.json)

    assert await chosen(role=["manager"]) == ["node1"]
    assert await chosen(role=["worker"]) == ["node2", "node3"]
    assert await chosen(name=["node"]) == ["node1", "node2", "node3"]
    assert await chosen(node__label=["x"]) == []
    assert await chosen(membership=["accepted"], name=["node3"]) == ["node3"]


async def wait_running(api: Api, count: int) -> list[dict[str, Any]]:
    for _ in range(200):
        tasks: list[dict[str, Any]] = (await api.ask("GET", "/tasks")).json
        if sum(task["Status"]["State"] == "running" for task in tasks) == count:
            return tasks
        await asyncio.sleep(0.05)
    raise AssertionError(f"There are never {count} running tasks, only {tasks}")


async def test_tasks_are_filtered_as_docker_does(api: Api) -> None:
    one = {**SERVICE, "Mode": {"Replicated": {"Replicas": 2}}}
    service_id = (await api.ask("POST", "/services/create", json=one)).json["ID"]
    tasks = await wait_running(api, 2)

    async def chosen(**values: Any) -> set[str]:
        answer = await api.ask("GET", "/tasks", params=filters(**values))
        assert answer.status == 200
        return {task["ID"] for task in answer.json}

    every = {task["ID"] for task in tasks}
    assert await chosen(service=["web"]) == await chosen(service=[service_id]) == every
    assert await chosen(label=["com.docker.stack.namespace=st"]) == every
    assert await chosen(label=["com.docker.stack.namespace=other"]) == set()
    assert await chosen(name=["web.1"]) == {task["ID"] for task in tasks if task["Slot"] == 1}
    assert await chosen(node=[tasks[0]["NodeID"]]) == {t["ID"] for t in tasks if t["NodeID"] == tasks[0]["NodeID"]}
    assert await chosen(**{"desired-state": ["running"]}) == every
    assert await chosen(**{"desired-state": ["shutdown"]}) == set()
    assert await chosen(**{"_up-to-date": ["true"]}) == every
    assert await chosen(id=[tasks[1]["ID"]]) == {tasks[1]["ID"]}

    unknown = await api.ask("GET", "/tasks", params=filters(service=["nope"]))
    assert (unknown.status, unknown.message) == (404, "service nope not found")
    wrong = await api.ask("GET", "/tasks", params=filters(**{"desired-state": ["flying"]}))
    assert wrong.status == 400
    listed = (await api.ask("GET", "/services", params={"status": "true"})).json
    assert listed[0]["ServiceStatus"] == {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}


async def test_defaults_are_added_only_when_asked_for(api: Api) -> None:
    await api.ask("POST", "/services/create", json=SERVICE)
    plain = (await api.ask("GET", "/services/web")).json["Spec"]
    filled = (await api.ask("GET", "/services/web", params={"insertDefaults": "true"})).json["Spec"]
    assert "UpdateConfig" not in plain
    assert filled["UpdateConfig"]["Parallelism"] == 1
    assert filled["TaskTemplate"]["RestartPolicy"] == {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0}
    assert filled["TaskTemplate"]["ContainerSpec"]["Command"] == ["sleep", "1000"]


async def test_rollback_puts_the_previous_spec_back(api: Api) -> None:
    await api.ask("POST", "/services/create", json=SERVICE)

    async def post(spec: dict[str, Any], **query: str) -> int:
        version = (await api.ask("GET", "/services/web")).json["Version"]["Index"]
        query["version"] = str(version)
        return (await api.ask("POST", "/services/web/update", params=query, json=spec)).status

    assert await post(SERVICE, rollback="previous") == 400  # there is none yet
    assert await post({**SERVICE, "Labels": {"new": "1"}}) == 200
    assert await post({}, rollback="previous") == 400  # what is not used must be a service all the same
    assert await post(SERVICE, rollback="previous") == 200
    assert (await api.ask("GET", "/services/web")).json["Spec"]["Labels"] == SERVICE["Labels"]


async def test_rotation_needs_the_current_version(api: Api) -> None:
    swarm = (await api.ask("GET", "/swarm")).json
    before = api.cluster.join_tokens
    stale = {"version": str(swarm["Version"]["Index"] + 1), "rotateWorkerToken": "true"}
    assert (await api.ask("POST", "/swarm/update", params=stale, json=swarm["Spec"])).status == 500
    assert api.cluster.join_tokens == before
    current = {"version": str(swarm["Version"]["Index"]), "rotateWorkerToken": "true"}
    assert (await api.ask("POST", "/swarm/update", params=current, json=swarm["Spec"])).status == 200
    assert api.cluster.join_tokens.worker != before.worker
    assert api.cluster.join_tokens.manager == before.manager


async def test_a_secret_is_in_no_answer_and_no_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bodies = [SECRET, SECRET, {**SECRET, "Name": "-"}, {**SECRET, "Labels": 7}]
    answers = [await api.ask("POST", "/secrets/create", json=body) for body in bodies]
    answers.append(await api.ask("POST", "/secrets/create", data=json.dumps(SECRET)[:-3]))
    answers += [await api.ask("GET", path) for path in ("/secrets", "/secrets/key", "/info")]
    for answer in answers:
        assert SECRET_VALUE.encode() not in answer.body
    assert SECRET_VALUE not in caplog.text


@pytest.mark.parametrize(
    ("container", "why"),
    [
        ({"Configs": [{"File": {"Name": "x"}, "Runtime": {}}]}, "invalid Config: cannot specify both File and Runtime"),
        ({"Privileges": {"CredentialSpec": {}}}, 'must either provide "file", "registry", or "config"'),
        (
            {"Privileges": {"CredentialSpec": {"File": "a", "Registry": "b"}}},
            'cannot specify both "file" and "registry"',
        ),
    ],
)
async def test_what_an_engine_cannot_translate_is_refused(api: Api, container: Any, why: str) -> None:
    spec = {**SERVICE, "TaskTemplate": {"ContainerSpec": {"Image": "i", **container}}}
    refused = await api.ask("POST", "/services/create", json=spec)
    assert refused.status == 400
    assert why in refused.message


async def test_without_an_engine_nothing_is_a_container(api: Api) -> None:
    """So that `docker inspect NAME`, which asks for one kind after the other, finds what is a service."""
    for kind in ("container", "image", "plugin"):
        answer = await api.ask("GET", f"/{kind}s/web%20x/json")
        assert (answer.status, answer.message) == (404, f"No such {kind}: web x")


async def test_a_jobs_tasks_count_in_its_own_iteration(api: Api) -> None:
    container = {"Image": "i", "Command": ["true"]}
    job = {**SERVICE, "TaskTemplate": {"ContainerSpec": container}, "Mode": {"ReplicatedJob": {"TotalCompletions": 2}}}
    assert (await api.ask("POST", "/services/create", json=job)).status == 201

    async def completed() -> int:
        (listed,) = (await api.ask("GET", "/services", params={"status": "true"})).json
        return int(listed["ServiceStatus"]["CompletedTasks"])

    for iteration in (0, 1):
        for _ in range(200):
            if await completed() == 2:
                break
            await asyncio.sleep(0.05)
        tasks = (await api.ask("GET", "/tasks")).json
        assert len(tasks) == 2 * (iteration + 1)
        version = (await api.ask("GET", "/services/web")).json["Version"]["Index"]
        changed = {**job, "Labels": {"round": str(iteration)}}
        assert (await api.ask("POST", f"/services/web/update?version={version}", json=changed)).status == 200


async def test_logs_need_a_stream(api: Api) -> None:
    await api.ask("POST", "/services/create", json={**SERVICE, "Mode": {"Replicated": {"Replicas": 1}}})
    (task,) = await wait_running(api, 1)
    refused = await api.ask("GET", f"/tasks/{task['ID']}/logs")
    assert (refused.status, refused.message) == (400, "Bad parameters: you must choose at least one stream")
    for query in ({"tail": "x"}, {"tail": "-1"}, {"since": "x"}, {"since": "1.y"}):
        refused = await api.ask("GET", f"/tasks/{task['ID']}/logs", params={"stdout": "1", **query})
        assert refused.status == 400, query
    answer = await api.ask("GET", f"/tasks/{task['ID']}/logs", params={"stdout": "1"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    assert (await api.ask("GET", "/tasks/nope/logs", params={"stdout": "1"})).status == 404


async def test_events_are_filtered(api: Api) -> None:
    async with api.session.get("http://docker/events", params=filters(type=["secret"], event=["remove"])) as response:
        assert response.status == 200
        secret_id = await api.cluster.create(Kind.SECRET, SECRET)
        await api.cluster.create(Kind.CONFIG, SECRET)
        await api.cluster.remove(Kind.SECRET, secret_id)
        line = await asyncio.wait_for(response.content.readline(), 5)
    event = json.loads(line)
    assert (event["Type"], event["Action"], event["Actor"]["ID"]) == ("secret", "remove", secret_id)
    assert event["scope"] == "swarm"
