"""What is hidden in specs and texts, and what is left as it is."""

from __future__ import annotations

import time

import pytest

from reconciler.model.plan import SENSITIVE
from reconciler.model.sensitive import hashing, is_stand_in, masked, masked_text, secrets_in, sounds_secret

CANARY = "c4nary/w1th@all,kinds:of"
WORD = "c4naryhunter2"

COMMANDS = [
    ["app", f"--password={CANARY}"],
    ["app", "--password", CANARY],
    ["app", "-password", CANARY],
    ["app", f"--db-password={CANARY} and more"],
    ["app", "--api-key", CANARY],
    ["env", f"API_TOKEN={CANARY}", "app"],
    ["run", "-e", f"DB_PASSWORD={CANARY}"],
    ["run", f"--env=DB_PASSWORD={CANARY}"],
    ["run", f"-eDB_PASSWORD={CANARY}"],
    ["app", f"postgres://user:{CANARY}@db/shop"],
    ["app", f"--dsn=postgres://user:{CANARY}@db/shop"],
    ["app", "-p", CANARY],
    ["mysqladmin", "ping", f"-p{CANARY}"],
    ["redis-cli", "-a", CANARY, "ping"],
    ["curl", "-u", f"user:{CANARY}", "http://web/"],
    ["curl", "-H", f"Authorization: Bearer {CANARY}"],
    ["curl", "-H", f"Authorization: {CANARY}"],
    ["curl", "--header", f"X-Api-Key: {CANARY}"],
    ["CMD-SHELL", f"curl -H 'Authorization: Basic {WORD}' http://web/"],
    ["CMD-SHELL", f"mysqladmin ping -uroot -p{WORD} || exit 1"],
    ["sh", "-c", f"app --token {WORD} && app --password='{WORD}'"],
    ["sh", "-c", f"PGPASSWORD={WORD} psql -c 'select 1'"],
]

TEXTS = [
    f"amqp://user:{CANARY}@mq:5672/",
    f"https://{WORD}@github.com/acme/shop.git",
    f"user:{WORD}@tcp(db:3306)/shop",
    f"Server=db;User Id=sa;Password={WORD};Encrypt=yes",
    f"http://web/hook?token={WORD}&x=1",
    f"-Djavax.net.ssl.keyStorePassword={WORD} -Xmx1g",
    f"Authorization: Bearer {WORD}",
    f"Bearer {WORD}",
    f'{{"password": "{WORD} with more"}}',
    f"ghp_{WORD}{WORD}",
    f"-----BEGIN EC PRIVATE KEY-----\n{WORD}\n-----END EC PRIVATE KEY-----",
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:40])
def test_a_secret_argument_is_hidden_and_two_can_be_told_apart(command):
    other = [word.replace("c4nary", "an0ther") for word in command]
    shown, changed = masked(command, hashing("Args")), masked(other, hashing("Args"))
    assert "c4nary" not in str(shown)
    assert "c4nary" not in str(masked(command))
    assert shown != changed
    assert len(shown) == len(command)
    assert shown[0] == command[0]
    assert masked(shown, hashing("Args")) == shown, "what is hidden stays as it is"
    assert any("c4nary" in secret for secret in secrets_in({"Args": command}))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:30])
def test_a_secret_in_a_text_is_hidden(text):
    shown = masked_text(text)
    assert "c4nary" not in shown
    assert SENSITIVE in shown
    assert masked_text(shown) == shown


@pytest.mark.parametrize(
    "command",
    [
        ["nginx", "-g", "daemon off;"],
        ["app", "-p", "8080"],
        ["app", "-p", "127.0.0.1:8080:80/tcp"],
        ["app", "-p", "/etc/app", "--port=80", "--verbose"],
        ["app", "-parallel=4", "--user", "1000:1000"],
        ["curl", "-f", "http://localhost:8080/health@now"],
        ["CMD-SHELL", "pg_isready -U shop -d shop"],
        ["--compass=north", "--bypass", "cache"],
        ["ssh://git@host/acme/shop.git"],
        ["registry:5000/acme/web:1@sha256:" + "a" * 64],
    ],
    ids=lambda command: " ".join(command)[:40],
)
def test_ordinary_arguments_are_shown(command):
    assert masked(command) == command
    assert secrets_in({"Args": command}) == frozenset()


@pytest.mark.parametrize("name", ["com.example.pass", "X-Api-Key", "MYSQL_PWD", "MINIO_ACCESS_KEY", "basic-auth"])
def test_names_with_dots_and_dashes_sound_secret_too(name):
    assert sounds_secret(name)


def test_known_secrets_are_found_in_the_words_of_others():
    spec = {
        "Labels": {"api.token": "label-secret", "team": "shop"},
        "TaskTemplate": {
            "ContainerSpec": {"Env": ["DB_PASSWORD=env-secret", "MODE=production"], "Args": ["--token", "arg-secret"]},
            "LogDriver": {"Options": {"splunk-token": "log-secret", "tag": "web"}},
            "Placement": {"Constraints": ["node.role==worker"]},
        },
        "SecretName": "db_password",
    }
    known = secrets_in(spec, None)
    assert known == {"label-secret", "env-secret", "arg-secret", "log-secret"}
    said = masked_text("exec: arg-secret: not found; production env-secret", known)
    assert said == f"exec: {SENSITIVE}: not found; production {SENSITIVE}"


def test_null_and_what_stands_for_a_secret_are_no_secrets():
    assert is_stand_in(SENSITIVE)
    assert is_stand_in(hashing("Args")("x"))
    assert not is_stand_in("(sensitive value, hash zz)")


@pytest.mark.parametrize("piece", ["a", "://", "-", "password", "a:", "mysql ", "--x ", "bearer ", "eyJa.", " -p"])
def test_a_long_text_is_read_in_bounded_time(piece):
    began = time.process_time()
    masked_text(piece * (100_000 // len(piece)))
    assert (
        time.process_time() - began < 60
    )  # seconds of this process, about 1 here; a quadratic pattern takes many minutes
