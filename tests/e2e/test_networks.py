"""A network that has to be replaced while services use it, on a real engine: what the plan says to do is what works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler.model.errors import ExitCode
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
