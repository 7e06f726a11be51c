"""Of what programs read and people type, the secrets are hidden, and nothing else is."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from reconciler.model.plan import SENSITIVE
from reconciler.model.sensitive import hashing, masked, masked_text, secrets_in, sounds_secret

HERE = Path(__file__).parent


def texts(name: str) -> list[str]:
    """Return the texts of a file; in the one with secrets they stand between « and »."""
    return (HERE / name).read_text().removesuffix("\n").split("\n%%\n")


@pytest.mark.parametrize("text", texts("texts_with_secrets.txt"), ids=lambda text: text[:30])
def test_a_secret_is_hidden_and_what_stands_around_it_is_shown(text: str):
    shown = masked_text(re.sub("[«»]", "", text))
    assert shown == re.sub("«.*?»", SENSITIVE, text, flags=re.DOTALL)
    assert masked_text(shown) == shown
    told = masked_text(re.sub("[«»]", "", text), hide=hashing("Data"))
    assert masked_text(told, hide=hashing("Data")) == told, "what is hidden stays as it is"


@pytest.mark.parametrize("text", texts("texts_without_secrets.txt"), ids=lambda text: text[:30])
def test_what_is_no_secret_is_shown(text: str):
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "command",
    [
        ["sshpass", "-phunter2", "ssh", "bob@db"],
        ["htpasswd", "-bc", "/etc/htpasswd", "bob", "hunter2"],
        ["openssl", "rsa", "-passin", "pass:hunter2"],
        ["ldapsearch", "-x", "-w", "hunter2"],
        ["rabbitmqctl", "add_user", "bob", "hunter2"],
        ["mc", "alias", "set", "local", "http://s3:9000", "bob", "hunter2"],
        ["smbclient", "-U", "bob%hunter2", "//nas/x"],
        ["app", "bob:hunter2@db:5432/shop"],
    ],
    ids=lambda command: command[0],
)
def test_an_argument_is_hidden_that_is_secret_by_its_place(command: list[str]):
    shown = masked(command)
    assert "hunter2" not in str(shown)
    assert len(shown) == len(command)
    assert sum(one != other for one, other in zip(shown, command, strict=True)) == 1
    assert masked(shown) == shown
    assert any("hunter2" in secret for secret in secrets_in({"Args": command}))


@pytest.mark.parametrize(
    "name",
    ["PASSWORD_FILE", "DB_PASSWORD_FILE", "passwordFile", "TOKEN_TTL", "token_ttl_seconds", "tokenExpiry", "tokenizer"],
)
def test_what_is_about_a_secret_is_none(name: str):
    assert not sounds_secret(name)


@pytest.mark.parametrize(
    "name", ["PASSWORD_FILE_KEY", "WIFI_PSK", "rootpw", "bindPW", "PASSWORD_SALT", "clientSecretValue"]
)
def test_other_names_of_secrets_sound_secret(name: str):
    assert sounds_secret(name)


@pytest.mark.parametrize(
    "piece",
    [
        "\npasswords:\n - a",
        "\n - a",
        "passwords: [",
        "password: [a, ",
        "\npassword:\n  a",
        "name: password\n",
        'name: password, value: "',
        'variable "password" {',
        "a:b@c",
        "a@b:",
        "authorization ",
        "basic a",
        "\npassword = a ",
        "\na.password=a",
        "\npassword=a;",
        "password' => '",
        "password == ",
        "sshpass -p",
        "htpasswd -b a ",
        "echo a | ",
        "identified by '",
        "('password', ",
        "password(",
        "password 'a",
        "\nset $password a ",
        "\npassword a ",
        "user a password ",
        'key="password" ',
        'value="a" ',
        '<a name="password">a',
        "<name>password</name> ",
        "user a on >",
        "\na:*:a:a:",
        "\n[mail]:1 a:",
        "\npassword: the a ",
        "the ",
        "-----BEGIN PRIVATE KEY-----",
        "-password_",
        "password_file_",
        "password.a-",
    ],
)
def test_a_long_text_of_it_is_read_in_bounded_time(piece: str):
    began = time.process_time()
    masked_text(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 60  # seconds of this process, a few at most; a quadratic pattern takes minutes
