"""Networks of the real program: replaced while in use, too small, in each other's way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler.model.errors import ExitCode
from tests.e2e.conftest import Backend
from tests.e2e.program import Program
from tests.lab.lab import Lab
from tests.lab.swept import sweep

STACK = """\
services:
  api:
    image: swarmctl-test:1
    command: sleep 3600
    deploy: {{replicas: 0, endpoint_mode: dnsrr}}
networks:
  default: {{attachable: {attachable}}}
"""

NARROW = """\
services:
  api:
    image: swarmctl-test:1
    command: sleep 3600
    deploy: {{replicas: 9}}
networks:
  default: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}
"""


def test_addresses_and_subnets_that_are_not_there_are_told_before_anything_is_written(backend: Backend, tmp_path: Path):
    stack = tmp_path / "shop.yaml"
    stack.write_text(NARROW.format(subnet="10.93.3.0/29"))
    told = backend.swarmctl.ok("apply", "shop.yaml", "--yes", "--strict", code=ExitCode.ERROR)
    assert "Network shop_default has 5 addresses, and the tasks of shop_api make it need 13." in told
    backend.engine.create_network("other", driver="overlay", ipam={"Config": [{"Subnet": "10.93.0.0/16"}]})
    stack.write_text(NARROW.format(subnet="10.93.3.0/24"))
    told = backend.swarmctl.ok("apply", "shop.yaml", "--yes", "--strict", code=ExitCode.ERROR)
    assert "its subnet 10.93.3.0/24 overlaps 10.93.0.0/16 of network other" in told
    assert backend.engine.services() == []


@pytest.mark.engine
def test_a_network_in_use_is_replaced_once_done_what_the_plan_says(lab: Lab, tmp_path: Path) -> None:
    swarmctl = Program(tmp_path, {"DOCKER_HOST": lab.manager.host})
    stack = tmp_path / "shop.yaml"
    try:
        stack.write_text(STACK.format(attachable="false"))
        swarmctl.ok("apply", "shop.yaml", "--yes")
        stack.write_text(STACK.format(attachable="true"))
        blocked = swarmctl.ok("apply", "shop.yaml", "--yes", code=ExitCode.ERROR)
        assert "Attachable is false, and true is asked for" in blocked
        (command,) = set(re.findall(r"`docker (service rm [\w ]+)`", blocked))
        with lab.manager.client() as client:
            for name in command.split()[2:]:
                client.remove_service(name)
            swarmctl.ok("apply", "shop.yaml", "--yes")
            (network,) = client.networks(names=["shop_default"])
            (attached,) = client.inspect_service("shop_api")["Spec"]["TaskTemplate"]["Networks"]
        assert network["Attachable"]
        assert attached["Target"] == network["Id"]
        assert "No changes." in swarmctl.ok("diff", "shop.yaml")
    finally:
        sweep(lab)
