"""What those ask that are no people: probes, scrapers, and programs that try a method."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from reconciler.controller_api import openapi
from reconciler.gitops.overview import Health
from tests.unit.controller_api.conftest import Api

DOCUMENT = openapi.document()


async def test_a_probe_that_fails_is_answered_as_the_document_says(local: Api) -> None:
    local.controller.told_health = Health(alive=False, ready=False, why="It was removed.")
    for path in ("/healthz", "/readyz"):
        answer = await local.ask("GET", path)
        assert answer.status == 503
        schema = DOCUMENT["paths"][path]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
        Draft202012Validator({"components": DOCUMENT["components"], **schema}).validate(answer.json)


async def test_who_tries_another_method_is_told_which_there_are(local: Api) -> None:
    answer = await local.ask("DELETE", "/v1/status")
    assert (answer.status, answer.headers["Allow"], answer.json["code"]) == (405, "GET", "api-request-invalid")
    answer = await local.ask("GET", "/v1/sync")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
