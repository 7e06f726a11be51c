"""What is hidden in specs and texts, and what is left as it is."""

from __future__ import annotations

import time

import pytest

from reconciler.model.plan import SENSITIVE
from reconciler.model.sensitive import hashing, is_stand_in, masked, masked_text, secrets_in, sounds_secret

CANARY = "c4nary/w1th@all,kinds:of"
WORD = "c4naryhunter2"

SECRET_NAMES = (
    "DBPASS ROOTPASS PGPASS dbPass DB_PW DBPW dbPw pw CREDS AWS_CREDS awsCreds DB_CRED DBPWD dbPwd APP_KEY "
    "APP_KEYS APP_KEY_OLD APP_KEY_2 app.key APPKEY JWT_KEY SSH_KEY SESSION_KEY STORAGE_KEY ACCOUNT_KEY "
    "AccountKey accountKey SharedAccessKey FERNET_KEY REDIS_AUTH SMTP_AUTH NEO4J_AUTH REDISCLI_AUTH redisAuth "
    "AUTH _auth X-Auth"
)
ORDINARY_NAMES = (
    "COMPASS BYPASS bypass TRESPASS PASSENGER PASSENGER_ENV PWD OLDPWD pwd PUBLIC_KEY publicKey JWT_PUBLIC_KEY "
    "PRIMARY_KEY PARTITION_KEY ROUTING_KEY routingKey SORT_KEY sort-key CACHE_KEY CACHE_KEY_PREFIX FOREIGN_KEY "
    "KEY KEYS keyFile KEYBOARD KEYCLOAK_URL MONKEY TURKEY AZURE_KEY_VAULT_URL SSH_KEY_FILE AUTHOR AUTHORS "
    "AUTH_URL NO_AUTH noAuth --no-auth disable-auth OAUTH SACRED SPAWN"
)
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
    ["app", "--pw", CANARY],
    ["app", "--auth", f"bob:{WORD}"],
    ["run", "-e", f"DBPASS={CANARY}"],
    ["run", f"-eAPP_KEY={CANARY}"],
    ["app", f"--dsn=Server=db;Uid=sa;Pwd={WORD};"],
    ["app", f"--dsn=Pwd={WORD};Server=db"],
    ["sh", "-c", f"app --pw {WORD} --auth bob:{WORD}; docker run -e DBPASS={WORD} app"],
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
    f"docker run -e DBPASS={WORD} app",
    f"Server=db;User Id=sa;Pwd={WORD};Encrypt=yes",
    f"Pwd={WORD};Server=db",
    f"AccountName=shop;AccountKey={WORD}+/==;EndpointSuffix=core.windows.net",
    f"Endpoint=sb://shop/;SharedAccessKeyName=Root;SharedAccessKey={WORD}=",
    f"https://shop.blob/x?sv=1&sig={WORD}&se=2",
    f"https://shop.s3.example.com/blob?X-Amz-Expires=1200&X-Amz-Signature={WORD}&x-id=GetObject",
    f"https://cdn.example.com/blob?Expires=1767225600&Signature={WORD}&Key-Pair-Id=K1",
    f"https://hooks.slack.com/services/T0/B0/{WORD}",
    f"https://discord.com/api/webhooks/123/{WORD}",
    f"https://discordapp.com/api/v10/webhooks/123/{WORD}",
    f"https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/{WORD}/3",
    f"https://api.telegram.org/bot123:{WORD}/sendMessage",
    f"bot12345678:{WORD}",
    f"tgram://12345678:{WORD}/-100",
    f"password: {WORD}",
    f"password: correct horse {WORD} # as in the comic",
    f"password : {WORD}",
    f"db:\n  password:   {WORD}\n  user: shop",
    f"db:\r\n\tpassword: {WORD}\r\n",
    f'db_password: "with \\" in it {WORD}"',
    f"db_password: 'with '' in it {WORD}'",
    f'"password": "with \\" in it {WORD}", "user": "shop"',
    f'{{\\"password\\": \\"{WORD}\\", \\"user\\": \\"shop\\"}}',
    f'{{"user":"shop","pwd":"{WORD}"}}',
    f'{{"auths": {{"registry": {{"auth": "{WORD}"}}}}}}',
    f"# password: {WORD}",
    f"- token: {WORD}",
    f"  - - token: {WORD}",
    f"{{password: {WORD}, user: shop}}",
    f"users: [{{name: shop, password: {WORD}}}]",
    f"pwd: {WORD}",
    f"password: &shared {WORD}",
    f"password: |\n  {WORD}\n   {WORD}\n\n  {WORD}\nuser: shop",
    f"- password: !vault >-  # as it is\n\n    {WORD}\n    {WORD}\n  user: shop",
    f"password          =          {WORD}",
    f"port 1\nrequirepass {WORD}\n",
    f'masterauth "{WORD} and more"',
    f"sentinel auth-pass shop {WORD}",
    f"config set requirepass {WORD}",
    f"shop:$apr1$salt${WORD}",
    f"shop:$2y$05${WORD}",
    f"shop:$$2y$$05$${WORD}",
    f"shop:$6$salt${WORD * 3}",
    f"shop:{{SHA}}{WORD}=",
    f"<password>{WORD}</password>",
    f'<db:adminPassword encrypted="no">\n  {WORD}\n</db:adminPassword>',
    f"<secret><![CDATA[{WORD}]]></secret>",
    f"password:{WORD}",
    f"a=1\nspring.datasource.password:{WORD} and more\n",
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
    told = masked_text(text, hide=hashing("Data"))
    assert masked_text(told, hide=hashing("Data")) == told
    assert told != masked_text(text.replace("c4nary", "an0ther"), hide=hashing("Data"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a: 1\npassword: x y # z\nb: 2", f"a: 1\npassword: {SENSITIVE} # z\nb: 2"),
        ("{token: x, a: b}", f"{{token: {SENSITIVE}, a: b}}"),
        ("secret: |\n  x\n  y\nb: 2", f"secret: |\n  {SENSITIVE}\nb: 2"),
        ("- secret: |\n    x\n\n    y\n  b: 2", f"- secret: |\n    {SENSITIVE}\n  b: 2"),
        ("requirepass x\nport 1", f"requirepass {SENSITIVE}\nport 1"),
        ("Server=db;Pwd=x;Encrypt=yes", f"Server=db;Pwd={SENSITIVE};Encrypt=yes"),
        ("https://discord.com/api/webhooks/1/x?wait=1", f"https://discord.com/api/webhooks/1/{SENSITIVE}"),
        ("<a><token>x y</token><b>z</b></a>", f"<a><token>{SENSITIVE}</token><b>z</b></a>"),
        ("password:x y\nb:z", f"password:{SENSITIVE}\nb:z"),
        ("shop:{SHA}abcdef=\nb", f"shop:{{SHA}}{SENSITIVE}\nb"),
    ],
)
def test_what_stands_around_a_secret_is_shown(text, shown):
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "the token: expired",
        "login failed, token: expired",
        "Access denied (using password: YES)",
        "Password incorrect",
        "secrets:\n  db:\n    external: true",
        "secrets:  # of the shop\n  - db",
        "secrets: &all\n  - db",
        "secret: [a]",
        "credentials: {}",
        "auth: true\ntoken: null",
        "password_file: /run/secrets/db",
        "secretName: db",
        "author: bob\nmonkey: x\nkey: y",
        "http://host:8080/",
        "http://bot1:27017/",
        "acme/bot3:latest",
        "token-service:1.2",
        "PWD=/app OLDPWD=/ app",
        "cd /app; pwd",
        "PWD: /app",
        "docker stack deploy --with-registry-auth shop",
        "app --no-auth serve",
        "select $1, $2 from ${TABLE}",
        "app:{sha}-release",
        "<passwords>\n  <path>/run/secrets/db</path>\n</passwords>",
        "<passwordFile>/run/secrets/db</passwordFile>",
        "token:8080/tcp",
        "password:8080",
        "secret://vault/shop",
    ],
)
def test_ordinary_texts_are_shown(text):
    assert masked_text(text) == text


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
        ["app", "--no-auth", "serve", "--public-key", "abc", "--sort-key=name", "--key", "2"],
        ["env", "PWD=/app", "OLDPWD=/", "app"],
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


@pytest.mark.parametrize(
    "name",
    SECRET_NAMES.split(),
)
def test_short_names_of_passwords_and_keys_sound_secret(name):
    assert sounds_secret(name)


@pytest.mark.parametrize(
    "name",
    ORDINARY_NAMES.split(),
)
def test_names_that_only_look_like_it_do_not(name):
    assert not sounds_secret(name)


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


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "://",
        "-",
        "password",
        "a:",
        "mysql ",
        "--x ",
        "bearer ",
        "eyJa.",
        " -p",
        " ",
        "\n",
        "#",
        "- ",
        "\n- ",
        "_key",
        "aKey",
        "-auth",
        "\npassword: ",
        "\ntoken: x ",
        ",token: ",
        "{token: ",
        "\ntoken: !a ",
        "\ntoken: |\n",
        "$2y$",
        "\n  token: |\n   a",
        "password   =",
        'token: "\\"',
        '"token":"\\',
        '\\"token\\":\\"',
        "token: 'a''",
        "$6$a$",
        ";pwd=",
        "\npwd=",
        "?sig=",
        "?x-sig-",
        "bot12345:",
        "\nrequirepass ",
        "{SHA}a",
        "hooks.slack.com/services/",
        "slack://",
        "<token>",
        "<token a ",
        "<token>a",
        "\npassword:a",
    ],
)
def test_a_long_text_is_read_in_bounded_time(piece):
    began = time.process_time()
    masked_text(piece * (100_000 // len(piece)))
    assert (
        time.process_time() - began < 60
    )  # seconds of this process, about 1 here; a quadratic pattern takes many minutes
