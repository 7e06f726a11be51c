"""Published ports that change hands in one apply, on a real engine.

Ports that two services swap, in ingress mode, without tasks: the engine refuses a port that is taken whether anything
runs or not, and tasks take half a minute here. And a port of each node, which a renamed service takes over.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.model.errors import ExitCode
from tests.e2e.program import Program
from tests.lab.lab import Lab
from tests.lab.swept import sweep

STACK = """\
services:
  blue:
    image: swarmctl-test:1
    command: sleep 3600
    ports: ["{blue}:80"]
    deploy: {{replicas: 0}}
  green:
    image: swarmctl-test:1
    command: sleep 3600
    ports: ["{green}:80"]
    deploy: {{replicas: 0}}
"""


@pytest.mark.engine
def test_two_services_swap_their_published_ports_in_one_apply(lab: Lab, tmp_path: Path) -> None:
    swarmctl = Program(tmp_path, {"DOCKER_HOST": lab.manager.host})
    stack = tmp_path / "shop.yaml"
    try:
        stack.write_text(STACK.format(blue=8081, green=8082))
        swarmctl.ok("apply", "shop.yaml", "--yes")
        stack.write_text(STACK.format(blue=8082, green=8081))
        plan = json.loads(swarmctl.ok("diff", "shop.yaml", "--format", "json", code=ExitCode.CHANGES))
        assert sorted(action["id"] for action in plan["actions"]) == [
            "service.shop_blue",
            "service.shop_blue.release",
            "service.shop_green",
        ]
        swarmctl.ok("apply", "shop.yaml", "--yes")
        with lab.manager.client() as client:
            ports = {one["Spec"]["Name"]: one["Endpoint"]["Ports"][0]["PublishedPort"] for one in client.services()}
        assert ports == {"shop_blue": 8082, "shop_green": 8081}
        assert "No changes." in swarmctl.ok("diff", "shop.yaml")
    finally:
        sweep(lab)


CLUSTER = """\
apiVersion: swarmctl/v1
kind: Cluster
metadata: {name: ports}
spec: {policy: {prune: true, maxDeletePercent: 100}}
"""

EDGE = """\
services:
  SERVICE:
    image: swarmctl-test:1
    command: sleep 3600
    stop_signal: SIGKILL
    ports: [{target: 80, published: 8080, mode: host}]
    deploy: {mode: global, endpoint_mode: dnsrr, update_config: {monitor: 100ms}}
"""


@pytest.mark.engine
def test_a_renamed_service_takes_over_its_port_of_each_node(lab: Lab, tmp_path: Path) -> None:
    swarmctl = Program(tmp_path, {"DOCKER_HOST": lab.manager.host})
    stack = tmp_path / "stacks" / "edge.yaml"
    stack.parent.mkdir()
    (tmp_path / "swarm.yaml").write_text(CLUSTER)
    try:
        stack.write_text(EDGE.replace("SERVICE", "proxy"))
        swarmctl.ok("apply", "--yes", "--resolve-image", "never")
        stack.write_text(EDGE.replace("SERVICE", "gateway"))
        told = swarmctl.ok("apply", "--yes", "--resolve-image", "never")
        assert "nothing declares it any more; edge_gateway needs its room" in told
        with lab.manager.client() as client:
            assert [one["Spec"]["Name"] for one in client.services()] == ["edge_gateway"]
        assert "No changes." in swarmctl.ok("diff", "--resolve-image", "never")
    finally:
        sweep(lab)
