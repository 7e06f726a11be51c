"""Which engine is meant: the docker CLI's own precedence, and its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from reconciler.adapters.docker import contexts, ssh
from reconciler.adapters.docker.endpoints import DEFAULT_HOST, resolve
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.settings import EndpointSettings


def write_context(config: Path, name: str, **endpoint: Any) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()
    folder = config / "contexts" / "meta" / digest
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_context(tmp_path, "named", Host="unix:///named.sock")
    write_context(tmp_path, "current", Host="unix:///current.sock")
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "current"}))
    return tmp_path


@pytest.mark.parametrize(
    ("host", "context", "url"),
    [
        ("unix:///host.sock", None, "unix:///host.sock"),
        ("unix:///host.sock", "named", "unix:///host.sock"),
        (None, "named", "unix:///named.sock"),
        (None, None, "unix:///current.sock"),
        (None, "default", DEFAULT_HOST),
    ],
)
def test_a_host_wins_over_a_context_and_both_over_the_current_one(
    config: Path, host: str | None, context: str | None, url: str
) -> None:
    assert resolve(EndpointSettings(host=host, context=context, config_dir=str(config))).url == url


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"currentContext": 7}', '{"currentContext": ""}'])
def test_without_a_readable_configuration_the_local_socket_is_meant(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert resolve(EndpointSettings(config_dir=str(tmp_path))).url == DEFAULT_HOST


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("unix://", DEFAULT_HOST),
        ("unix:///a/b.sock", "unix:///a/b.sock"),
        ("unix:///Upper/Case.sock", "unix:///Upper/Case.sock"),
        ("tcp://h:99", "tcp://h:99"),
        ("tcp://h", "tcp://h:2375"),
        ("h:99", "tcp://h:99"),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
        ("http://h:99/prefix/", "tcp://h:99/prefix"),
        ("https://h", "tcp://h:2376"),
        ("ssh://u@h:22", "ssh://u@h:22"),
    ],
)
def test_addresses_are_normalised(host: str, url: str) -> None:
    assert resolve(EndpointSettings(host=host)).url == url


@pytest.mark.parametrize(
    "host", ["fd://", "npipe:////./pipe/docker", "tcp://", "tcp://h:port", "tcp://h:99999", "ssh://", "tcp://[::1"]
)
def test_a_senseless_address_is_a_bad_setting(host: str) -> None:
    with pytest.raises(SwarmctlError) as raised:
        resolve(EndpointSettings(host=host))
    assert raised.value.code is ErrorCode.BAD_SETTING
    assert raised.value.problems[0].why


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SwarmctlError) as raised:
        resolve(EndpointSettings(host="ssh://user:hunter2@host"))
    assert raised.value.code is ErrorCode.BAD_SETTING
    assert "hunter2" not in str(raised.value.problems)


def test_an_unknown_context_lists_the_known_ones(config: Path) -> None:
    with pytest.raises(SwarmctlError) as raised:
        resolve(EndpointSettings(context="nmaed", config_dir=str(config)))
    assert raised.value.code is ErrorCode.CONTEXT_NOT_FOUND
    assert "current, default, named" in raised.value.problems[0].why


def test_a_context_without_a_docker_endpoint_is_not_found(tmp_path: Path) -> None:
    write_context(tmp_path, "empty")
    with pytest.raises(SwarmctlError) as raised:
        resolve(EndpointSettings(context="empty", config_dir=str(tmp_path)))
    assert raised.value.code is ErrorCode.CONTEXT_NOT_FOUND


def test_a_context_may_skip_verification(tmp_path: Path) -> None:
    write_context(tmp_path, "lax", Host="tcp://h:1", SkipTLSVerify=True)
    assert contexts.load(tmp_path, "lax").tls == contexts.TlsFiles(verify=False)


def test_tls_is_for_tcp_only(tmp_path: Path) -> None:
    settings = EndpointSettings(host="unix:///s", tls_verify=True, cert_path=str(tmp_path))
    assert resolve(settings).tls is None
    over_tcp = resolve(EndpointSettings(host="tcp://h", tls_verify=True, cert_path=str(tmp_path)))
    assert over_tcp.tls == contexts.TlsFiles(verify=True)
    assert over_tcp.url == "tcp://h:2376"


def test_no_part_of_an_ssh_address_can_become_an_option() -> None:
    command = ssh.command(urlsplit("ssh://-oProxyCommand=evil"))
    assert command.index("--") < command.index("-oproxycommand=evil")
    assert command[-3:] == ["docker", "system", "dial-stdio"]


def test_an_ssh_address_may_name_the_remote_socket() -> None:
    command = ssh.command(urlsplit("ssh://host/run/other.sock"))
    assert command[-5:] == ["docker", "--host", "unix:///run/other.sock", "system", "dial-stdio"]
