"""What an engine answers to requests that no client of its own makes: versions, escapes, methods, order of checks."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from yarl import URL

from reconciler.api import serve_node
from reconciler.api.faults import Refused
from reconciler.api.local_networks import LocalNetworks
from reconciler.api.node import FixedNode
from reconciler.api.ports import LocalState, Standing
from tests.unit.api.conftest import Api


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1.41./swarm/unlockkey", 200, ""),
        ("/v1.99.1/nodes", 400, "client version 1.99.1 is too new"),
        ("/v1.23/nodes", 400, "client version 1.23 is too old"),
        ("/services?filters=%zz", 400, 'invalid URL escape "%zz"'),
        ("/networks?x=%z", 400, 'invalid URL escape "%z"'),
        ('/services?filters={"name":["x"]}x', 400, "invalid character 'x' after top-level value"),
        ('/networks?filters={"dangling":["1","0"]}', 400, 'got more than one value for filter key "dangling"'),
        (
            "/networks/ingress?verbose=maybe",
            400,
            'invalid value for verbose: maybe: strconv.ParseBool: parsing "maybe"',
        ),
        ("/networks/ingress?scope=wrong", 404, "network ingress not found"),
        ("/services/x?insertDefaults=maybe", 404, "service x not found"),
    ],
)
async def test_odd_requests(api: Api, path: str, status: int, said: str) -> None:
    async with api.session.get(URL(f"http://docker{path}", encoded=True)) as answer:
        told = await answer.json()
    assert answer.status == status
    assert told.get("message", "").startswith(said)


@pytest.mark.parametrize("version", ["1", "1.5", "."])
async def test_clients_older_than_json_errors_are_told_in_plain_text(api: Api, version: str) -> None:
    answer = await api.ask("GET", f"/v{version}/nodes")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert answer.body.startswith(f"client version {version} is too old.".encode())


@pytest.mark.parametrize("path", ["/v1.41/services", "/nothing"])
async def test_options_are_answered_with_nothing(api: Api, path: str) -> None:
    answer = await api.ask("OPTIONS", path)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/secrets/create", "{", 400),
        ("POST", "/configs/create", '{"Name":1}', 400),
        ("POST", "/services/create", "{}", 503),
        ("POST", "/services/x/update", "{}", 400),
        ("GET", "/nodes?filters=x", None, 400),
        ("GET", '/nodes?filters={"x":["y"]}', None, 503),
        ("POST", "/swarm/unlock", '{"UnlockKey":"x"}', 503),
        ("POST", "/networks/create", '{"Name":"n","Driver":"overlay","Scope":"local"}', 403),
    ],
)
async def test_what_a_request_is_made_of_is_checked_before_the_swarm(
    tmp_path: Any, method: str, path: str, body: str | None, status: int
) -> None:
    connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
    outside = FixedNode(Standing(LocalState.INACTIVE), {})
    async with (
        serve_node(outside, f"unix://{tmp_path}/api.sock"),
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://docker{path}", data=body) as answer,
    ):
        assert answer.status == status


def test_a_network_is_made_from_a_configuration_that_stays_as_long() -> None:
    networks = LocalNetworks()
    pool = {"Subnet": "10.9.0.0/24"}
    networks.create({"Name": "conf", "ConfigOnly": True, "IPAM": {"Config": [pool]}, "Labels": {"a": "b"}}, ())
    networks.create({"Name": "net", "ConfigFrom": {"Network": "conf"}}, ())
    by_name = {one.name: one for one in networks.listed(in_a_swarm=False)}
    assert by_name["net"].raw["IPAM"]["Config"] == [pool]
    assert by_name["net"].labels == {"a": "b"}
    with pytest.raises(Refused, match='configuration network "conf" is in use'):
        networks.remove(by_name["conf"], in_a_swarm=False)
    networks.remove(by_name["net"], in_a_swarm=False)
    networks.remove(by_name["conf"], in_a_swarm=False)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"Name": "x", "ConfigFrom": {"Network": "none"}}, 'configuration network "none" does not exist'),
        (
            {"Name": "x", "ConfigFrom": {"Network": "conf"}, "Labels": {"a": "b"}},
            "user specified configurations are not",
        ),
        ({"Name": "x", "ConfigFrom": {"Network": "conf"}, "ConfigOnly": True}, "a configuration network cannot depend"),
        ({"Name": "x", "IPAM": {"Config": [{"Subnet": "10.8.0.0/25"}]}}, "Pool overlaps with other one"),
        ({"Name": "x", "Driver": "host"}, 'only one instance of "host" network is allowed'),
        ({"Name": "default"}, "operation is not permitted on predefined default network"),
    ],
)
def test_networks_of_a_node_that_are_refused(spec: dict[str, Any], said: str) -> None:
    networks = LocalNetworks()
    networks.create({"Name": "conf", "ConfigOnly": True}, ())
    networks.create({"Name": "there", "IPAM": {"Config": [{"Subnet": "10.8.0.0/24"}]}}, ())
    with pytest.raises(Refused, match=said):
        networks.create(spec, ())


def test_the_gateway_bridge_stays_when_the_node_leaves_its_swarm() -> None:
    networks = LocalNetworks()
    assert "docker_gwbridge" not in [one.name for one in networks.listed(in_a_swarm=False)]
    (bridge,) = [one for one in networks.listed(in_a_swarm=True) if one.name == "docker_gwbridge"]
    with pytest.raises(Refused, match="has active endpoints"):
        networks.remove(bridge, in_a_swarm=True)
    assert bridge in networks.listed(in_a_swarm=False)
    networks.remove(bridge, in_a_swarm=False)
    assert bridge not in networks.listed(in_a_swarm=False)
