"""The OpenAPI document, made of the table of routes: it can't say anything else than what is served."""

from __future__ import annotations

from typing import Final

import msgspec

from reconciler import __version__
from reconciler.controller_api.routes import ROUTES, Need, Query, Route
from reconciler.controller_api.schemas import SCHEMAS
from reconciler.model.json import JsonObject

_REF: Final = "#/components/schemas/{name}"
_FAILURES: Final = {
    400: "What is asked for makes no sense.",
    401: "No token, or a wrong one or signature.",
    403: "The token is not for this, or a web page asks.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "It can't be done as things are, or the webhook came before.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    500: "A bug in swarmctl.",
    503: "No controller leads, the cluster does not answer, or this one is overloaded.",
}

_EXPOSITIONS: Final = ("text/plain", "application/openmetrics-text")
"""What a scraper gets, by what it asks for."""
_PROBED: Final = "Health"


def document() -> JsonObject:
    """Return the document, OpenAPI 3.1."""
    paths: dict[str, JsonObject] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    bodies = [route.body for route in ROUTES if route.body is not None]
    _, components = msgspec.json.schema_components(bodies, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "swarmctl controller", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **components},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> JsonObject:
    operation: JsonObject = {
        "operationId": route.name,
        "summary": route.about,
        "responses": {str(route.status): _answer(route)} | {str(code): _failure(route, code) for code in _codes(route)},
    }
    if route.need in (Need.READ, Need.WRITE, Need.METRICS):
        operation["security"] = [{"token": []}]
    if route.query:
        operation["parameters"] = [_parameter(one) for one in route.query]
    if route.body is not None:
        content = {"application/json": {"schema": {"$ref": _REF.format(name=route.body.__name__)}}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.need is Need.SIGNED:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return operation


def _codes(route: Route) -> list[int]:
    codes = {500, 503}
    if route.need is not Need.OPEN:
        codes |= {401, 403}
    if route.query:
        codes.add(400)
    if route.method == "POST":
        codes |= {400, 408, 409, 413, 415}
    if route.name in ("trace", "history", "events") or route.body is not None:
        codes |= {404, 409}
    if route.name == "backup":
        codes.add(409)
    return sorted(codes)


def _answer(route: Route) -> JsonObject:
    if route.name == "openapi":
        return {"description": route.about, "content": {"application/json": {"schema": {"type": "object"}}}}
    if route.kind:
        return {"description": route.about, "content": {route.kind: {"schema": {"type": "string", "format": "binary"}}}}
    if not route.answer:
        return {"description": route.about, "content": {kind: {"schema": {"type": "string"}} for kind in _EXPOSITIONS}}
    schema = {"$ref": _REF.format(name=route.answer)}
    return {"description": route.about, "content": {"application/json": {"schema": schema}}}


def _failure(route: Route, code: int) -> JsonObject:
    if code == 503 and route.answer == _PROBED:
        return {**_answer(route), "description": "It is not, and `why` says why."}
    schema = {"$ref": _REF.format(name="Error")}
    return {"description": _FAILURES[code], "content": {"application/json": {"schema": schema}}}


def _parameter(query: Query) -> JsonObject:
    kind = {"type": "integer", "minimum": 0} if query.is_number else {"type": "string"}
    return {"name": query.name, "in": "query", "required": query.required, "description": query.about, "schema": kind}
