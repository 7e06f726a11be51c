"""The addresses that `swarmctl peers` takes, and what it prints for programs and people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler import settings
from reconciler.cli import app
from reconciler.cli.peers import address_of
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address
from reconciler.wiring import Wiring


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:7946", Address("10.0.0.1", 7946)),
        ("node1.example:1", Address("node1.example", 1)),
        ("[fd00::1]:65535", Address("fd00::1", 65535)),
    ],
)
def test_host_and_port(text: str, address: Address) -> None:
    assert address_of(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:x", "fd00::1:80", "a:-1", "a:٣"])
def test_what_is_no_host_and_port_is_wrong_usage(text: str) -> None:
    with pytest.raises(SwarmctlError, match="HOST:PORT"):
        address_of(text)


def run(*arguments: str) -> int:
    terminal = Terminal(color=False)
    return app.run(app.build(Wiring(settings.read({"HOME": "/nowhere"})), terminal, arguments), terminal, arguments)


def test_the_story_of_two_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = str(tmp_path / "n1"), str(tmp_path / "n2")
    assert run("peers", "init", "--name", "n1", "--listen", "10.0.0.1:7946", "--dir", here) == 0
    assert run("peers", "add", "n2", "10.0.0.2:7946", "--dir", here, "--out", there) == 0
    assert run("peers", "renew", "--dir", here) == 0
    capsys.readouterr()
    assert run("peers", "list", "--dir", here, "--format", "json") == 0
    listing = json.loads(capsys.readouterr().out)
    assert [(found["node"], found["address"]) for found in listing["certificates"]] == [
        ("n1", "10.0.0.1:7946"),
        ("n2", "10.0.0.2:7946"),
    ]
    assert run("peers", "list", "--dir", there) == 0
    shown = capsys.readouterr()
    assert "n2 (this node)" in shown.out
    assert "no authority" in shown.err
    assert run("peers", "add", "n3", "10.0.0.3:7946", "--dir", there, "--out", str(tmp_path / "n3")) == 1
    assert "[peers-missing]" in capsys.readouterr().err
