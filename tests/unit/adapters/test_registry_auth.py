"""Credentials of registries reach the engine as the docker CLI sends them, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters import registry_logins
from reconciler.adapters.registry_auth import KEPT_S, RegistryCredentials
from reconciler.model.errors import ErrorCode, Problem, Severity

HELPER = """#!/bin/sh
read registry
echo "$registry" >> "{asked}"
case "$registry" in
  https://index.docker.io/v1/|registry.example.com) {answer} ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac
"""


@pytest.fixture(autouse=True)
def helpers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def unpacked(header: str | None) -> Any:
    assert header is not None
    return json.loads(base64.urlsafe_b64decode(header))


class Configuration:
    """A docker configuration's folder, and the warnings that reading it gave."""

    def __init__(self, folder: Path, content: Any) -> None:
        self.warnings: list[Problem] = []
        self.folder = folder
        if content is not None:
            (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
        self.now_s = 1000.0
        self.credentials = RegistryCredentials(str(folder), self.warnings.append, lambda: self.now_s)

    def helper(self, name: str, answer: str) -> Path:
        """Put a credential helper on the path; return the file that lists what it was asked for."""
        asked = self.folder / f"{name}.asked"
        program = self.folder / f"docker-credential-{name}"
        program.write_text(HELPER.format(asked=asked, answer=answer))
        program.chmod(0o755)
        return asked


LOGIN = {"auth": packed("anna:s3cret/§"), "email": "a@example.com"}


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("registry.example.com:5000", "registry.example.com:5000/team/app:1"),
        ("https://registry.example.com/v1/", "registry.example.com/app"),
        ("https://index.docker.io/v1/", "nginx:1.25"),
        ("https://index.docker.io/v1/", "docker.io/library/nginx"),
        ("docker.io", "team/app"),
        ("localhost:5000", "localhost:5000/app@sha256:" + "1" * 64),
    ],
)
def test_a_login_is_found_by_the_registry_of_an_image(tmp_path: Path, written: str, image: str) -> None:
    configuration = Configuration(tmp_path, {"auths": {written: LOGIN}})
    sent = unpacked(configuration.credentials.header_for(image))
    assert sent == {"username": "anna", "password": "s3cret/§", "serveraddress": written}
    assert configuration.warnings == []


def test_an_identity_token_goes_in_place_of_a_password(tmp_path: Path) -> None:
    entry = {"auth": packed("00000000-0000-0000-0000-000000000000:"), "identitytoken": "ey.token"}
    configuration = Configuration(tmp_path, {"auths": {"registry.example.com": entry}})
    sent = unpacked(configuration.credentials.header_for("registry.example.com/app:1"))
    assert sent == {"identitytoken": "ey.token", "serveraddress": "registry.example.com"}


@pytest.mark.parametrize("content", [None, {}, {"auths": {}}, {"auths": {"other.example.com": LOGIN}}, [], "null"])
def test_without_a_login_there_is_no_header(tmp_path: Path, content: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text(json.dumps({"auths": {"registry.example.com": LOGIN}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(elsewhere))  # the settings name the folder, nothing else does
    folder = tmp_path / "folder"
    folder.mkdir()
    configuration = Configuration(folder, content)
    assert configuration.credentials.header_for("registry.example.com/app:1") is None
    assert configuration.warnings == []


def test_a_plain_login_is_one_as_well_and_an_empty_one_is_none(tmp_path: Path) -> None:
    entries = {
        "one.example.com": {"username": "anna", "password": "s3cret", "auth": ""},
        "two.example.com": {"auth": ""},
        "three.example.com": {"auth": packed("anna:s3cret"), "identitytoken": ""},
    }
    configuration = Configuration(tmp_path, {"auths": entries})
    for registry in ("one.example.com", "three.example.com"):
        sent = unpacked(configuration.credentials.header_for(f"{registry}/app:1"))
        assert sent == {"username": "anna", "password": "s3cret", "serveraddress": registry}
    assert configuration.credentials.header_for("two.example.com/app:1") is None
    assert configuration.warnings == []


def test_a_broken_entry_is_a_matter_of_its_registry_alone(tmp_path: Path) -> None:
    entries = {"broken.example.com": {"auth": "hunter2!"}, "sound.example.com": LOGIN}
    configuration = Configuration(tmp_path, {"auths": entries})
    assert configuration.credentials.header_for("broken.example.com/app:1") is None
    assert unpacked(configuration.credentials.header_for("sound.example.com/app:1"))["username"] == "anna"
    (warning,) = configuration.warnings
    assert "broken.example.com" in warning.what


def test_a_store_is_asked_once_for_each_registry(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"credsStore": "shop", "auths": {"registry.example.com": {}}})
    asked = configuration.helper("shop", """echo '{"Username": "anna", "Secret": "s3cret"}'""")
    for image in ("registry.example.com/a:1", "registry.example.com/b:1"):
        sent = unpacked(configuration.credentials.header_for(image))
        assert sent == {"username": "anna", "password": "s3cret", "serveraddress": "registry.example.com"}
    assert unpacked(configuration.credentials.header_for("nginx:1"))["serveraddress"] == "https://index.docker.io/v1/"
    assert configuration.credentials.header_for("elsewhere.example.com/x:1") is None
    assert asked.read_text().split() == [
        "registry.example.com",
        "https://index.docker.io/v1/",
        "elsewhere.example.com",
    ]


def test_a_helper_of_one_registry_goes_before_the_store_and_may_give_a_token(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"credsStore": "missing", "credHelpers": {"registry.example.com": "cloud"}})
    configuration.helper("cloud", """echo '{"Username": "<token>", "Secret": "ey.token"}'""")
    sent = unpacked(configuration.credentials.header_for("registry.example.com/a:1"))
    assert sent == {"identitytoken": "ey.token", "serveraddress": "registry.example.com"}


def test_who_runs_for_long_sees_a_login_made_meanwhile(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"auths": {"registry.example.com": {"auth": packed("anna:old")}}})
    image = "registry.example.com/app:1"
    assert unpacked(configuration.credentials.header_for(image))["password"] == "old"
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {"auth": packed("anna:new")}}}))
    configuration.now_s += KEPT_S - 1
    assert unpacked(configuration.credentials.header_for(image))["password"] == "old"
    configuration.now_s += 1
    assert unpacked(configuration.credentials.header_for(image))["password"] == "new"


def test_a_helper_that_failed_is_asked_again_later(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"credHelpers": {"registry.example.com": "cloud"}})
    configuration.helper("cloud", "exit 1")
    assert configuration.credentials.header_for("registry.example.com/a:1") is None
    configuration.helper("cloud", """echo '{"Username": "anna", "Secret": "s3cret"}'""")
    configuration.now_s += KEPT_S
    assert unpacked(configuration.credentials.header_for("registry.example.com/a:1"))["password"] == "s3cret"


def test_a_helper_that_hangs_is_given_up_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_logins, "HELPER_WAIT_S", 0.2)
    configuration = Configuration(tmp_path, {"credsStore": "stuck"})
    configuration.helper("stuck", "exec sleep 60")
    assert configuration.credentials.header_for("registry.example.com/a:1") is None
    (warning,) = configuration.warnings
    assert warning.why == "TimeoutExpired."


async def test_nothing_else_waits_for_a_helper_that_takes_its_time(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"credsStore": "slow"})
    ready = tmp_path / "ready"
    answer = """echo '{"Username": "anna", "Secret": "s3cret"}'"""
    configuration.helper("slow", f'while [ ! -e "{ready}" ]; do sleep 0.01; done; {answer}')
    asked = asyncio.create_task(configuration.credentials.auth_for("registry.example.com/a:1"))
    await asyncio.sleep(0)
    ready.touch()  # only reached while the helper still waits for it
    assert unpacked(await asked)["password"] == "s3cret"


BROKEN = [
    ({"credsStore": "absent"}, None),
    ({"credHelpers": {"registry.example.com": "broken"}}, "echo hunter2; exit 3"),
    ({"credHelpers": {"registry.example.com": "broken"}}, "echo hunter2 no json"),
    ({"auths": {"registry.example.com": {"auth": "hunter2!"}}}, None),
    ({"auths": {"registry.example.com": {"auth": packed("hunter2")}}}, None),
    ({"auths": {"registry.example.com": "hunter2"}}, None),
    ({"auths": ["hunter2"]}, None),
    ('{"auths": hunter2', None),
]


@pytest.mark.parametrize(("content", "answer"), BROKEN)
def test_what_is_broken_is_a_warning_that_quotes_nothing(tmp_path: Path, content: Any, answer: str | None) -> None:
    configuration = Configuration(tmp_path, content)
    if answer is not None:
        configuration.helper("broken", answer)
    for _ in range(2):
        assert configuration.credentials.header_for("registry.example.com/app:1") is None
    (warning,) = configuration.warnings
    assert (warning.code, warning.severity) == (ErrorCode.BAD_SETTING, Severity.WARNING)
    assert "hunter2" not in str(warning)


def test_nothing_of_it_is_shown(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"auths": {"registry.example.com": {"auth": packed("anna:hunter2")}}})
    configuration.credentials.header_for("registry.example.com/app:1")
    assert "hunter2" not in repr(configuration.credentials) + str(vars(configuration)["credentials"])
