"""The controller's file: what the example says, and what is told of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.adapters.schema_files import controller_schema
from reconciler.controller.config import ControllerConfig, read_config
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.sources import ReferenceKind, SourceLimits

EXAMPLES = Path(__file__).parents[4] / "examples" / "controller"
TOKENS = "  api: {tokens: [{name: ada, role: read, tokenFile: /s}]}\n"
HEAD = "apiVersion: swarmctl/v1\nkind: Controller\nspec:\n"


def read(text: str, secret: str = "the-secret-of-a-file") -> ControllerConfig:
    return read_config(text.encode(), "controller.yaml", controller_schema(), lambda path: f"{secret}\n")


def test_the_example_is_a_good_one_and_no_secret_is_shown():
    config = read((EXAMPLES / "controller.yaml").read_text())
    source = config.sources[0].spec
    assert (source.reference.kind, source.path, source.interval_s) == (ReferenceKind.BRANCH, "clusters/prod", 60.0)
    assert source.access.token == config.receivers[0].secret == config.sinks[0].url == "the-secret-of-a-file"
    assert [token.may_write for token in config.api.tokens] == [False, True]
    assert "the-secret" not in repr(config)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  dataDir: /d\n  sources: [{name: a}]\n", "5:13 Source a has neither a url and a workTree."),
        ("  dataDir: /d\n  sources: [{name: a, url: /u, interval: soon}]\n", '5:42 "soon" is no duration.'),
        ("  dataDir: /d\n  sources: [{name: a, url: /u, limits: {size: big}}]\n", '"big" is no size.'),
        ("  dataDir: /d\n  sources: [{name: a, url: /u, limits: {time: 0s}}]\n", '"0s" is no duration.'),
        ("  dataDir: /d\n  sources: [{name: a, url: /u}, {name: a, url: /v}]\n", "There are two sources named a."),
        ("  dataDir: /d\n  sources: [{name: a, url: /u, ref: {branch: m, tag: t}}]\n", "More than one thing says"),
        ("  dataDir: /d\n  sources: [{name: a, url: /u}]\n  api: {listen: '0.0.0.0:1'}\n", "without TLS"),
        (
            "  dataDir: /d\n  sources: [{name: a, url: /u}]\n  group: {peers: /p, members: {a: 'h:1', b: 'h:2'}}\n",
            "2 con",
        ),
        (
            "  dataDir: /d\n  sources: [{name: a, url: /u}]\n  group: {peers: /p, members: {a: 'h:0'}}\n",
            '"h:0" is not HOST',
        ),
        (
            "  dataDir: /d\n  sources: [{name: a, url: /u}]\n  group: {peers: /p, members: {a: 'fd::1:80'}}\n",
            "is not HOST",
        ),
        ("  dataDir: /d\n  sources: [{name: a, url: /u, access: {token: x}}]\n", "token"),
        (
            "  dataDir: /d\n  sources: [{name: a, url: /u}]\n  alerts:\n    sinks:\n"
            "      - {name: chat, urlFile: /a}\n      - {name: chat, urlFile: /b}\n",
            "9:16 There are two sinks named chat.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str):
    with pytest.raises(SwarmctlError) as refused:
        read(HEAD + text)
    problems = [f"{one.place.line}:{one.place.column} {one.what}" for one in refused.value.problems if one.place]
    assert any(told in one for one in problems), problems


@pytest.mark.parametrize(
    ("written", "path"), [("a/b", "a/b"), ("./a/b/", "a/b"), ("/a//b", "a/b"), (".", ""), ("../a", "../a")]
)
def test_a_folder_may_be_written_as_people_write_it(written: str, path: str):
    text = f"{HEAD}  dataDir: /d\n  sources: [{{name: a, url: /u, path: '{written}'}}]\n"
    assert read(text).sources[0].spec.path == path


def test_what_a_source_may_cost():
    limited = read(f"{HEAD}  dataDir: /d\n  sources: [{{name: a, url: /u, limits: {{time: 5m, size: 1GiB}}}}]\n")
    assert limited.sources[0].spec.limits == SourceLimits(fetch_s=300.0, pack_bytes=2**30)


def test_relative_paths_start_from_the_files_folder():
    read_files: list[str] = []

    def secret(path: str) -> str:
        read_files.append(path)
        return "x" * 20

    text = (
        f"{HEAD}  dataDir: data\n"
        "  sources:\n    - {name: a, url: 'ssh://h/u', access: {sshKeyFile: keys/a, knownHostsFile: /etc/known}}\n"
        "    - {name: b, workTree: ../tree}\n"
        "  webhooks: [{forge: github, secretFile: secret}]\n"
        "  group: {peers: peers, members: {a: 'h:1'}}\n"
        "  api: {listen: 'h:1', certificateFile: c, keyFile: k, tokens: [{name: t, role: read, tokenFile: /t}]}\n"
    )
    config = read_config(text.encode(), "controller.yaml", controller_schema(), secret, "/etc/swarmctl")
    access, tree = config.sources[0].spec.access, config.sources[1].spec
    assert (config.data_dir, tree.url) == ("/etc/swarmctl/data", "/etc/swarmctl/../tree")
    assert (access.ssh_key, access.known_hosts, access.ca_file) == ("/etc/swarmctl/keys/a", "/etc/known", "")
    assert config.group
    assert config.group.peers == "/etc/swarmctl/peers"
    assert (config.api.certificate, config.api.key, config.api.socket) == ("/etc/swarmctl/c", "/etc/swarmctl/k", "")
    read_before = ["/etc/swarmctl/keys/a", "/etc/known", "/etc/swarmctl/secret", "/t"]
    assert read_files == [*read_before, "/etc/swarmctl/c", "/etc/swarmctl/k"]


@pytest.mark.parametrize("key", ["tokenFile", "sshKeyFile", "knownHostsFile", "caFile"])
def test_a_file_that_can_not_be_read_is_told_where_it_is_named(key: str):
    def unreadable(path: str) -> str:
        raise SwarmctlError(ErrorCode.FILE_NOT_FOUND, f"{path} does not exist.")

    text = f"{HEAD}  dataDir: /d\n  sources:\n    - {{name: a, url: /u, access: {{{key}: /none}}}}\n"
    with pytest.raises(SwarmctlError) as refused:
        read_config(text.encode(), "controller.yaml", controller_schema(), unreadable)
    assert (refused.value.code, str(refused.value.problems[0].place)) == (
        ErrorCode.FILE_NOT_FOUND,
        f"controller.yaml:6:{37 + len(key)}",
    )


@pytest.mark.parametrize("length", [1, 19, 513])
def test_a_token_that_would_never_count_is_told_and_is_not_shown(length: int):
    token = "t" * length
    with pytest.raises(SwarmctlError) as refused:
        read(f"{HEAD}  dataDir: /d\n  sources: [{{name: a, url: /u}}]\n{TOKENS}", token)
    problem = refused.value.problems[0]
    assert (problem.what, str(problem.place)) == (f"The token of ada has {length} characters.", "controller.yaml:6:53")
    assert length < 5 or token not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "  sources: [{name: a, url: /u, access: {tokenFile: /s}}]\n",
        "  sources: [{name: a, url: /u}]\n  webhooks: [{forge: github, secretFile: /s}]\n",
        f"  sources: [{{name: a, url: /u}}]\n{TOKENS}",
    ],
)
def test_a_secret_file_with_nothing_in_it_is_no_secret(text: str):
    with pytest.raises(SwarmctlError, match="/s is empty"):
        read(f"{HEAD}  dataDir: /d\n{text}", "")


def test_the_image_is_built_from_the_lock_file_and_runs_as_nobody_special():
    lines = (EXAMPLES / "Dockerfile").read_text()
    assert "--require-hashes --only-binary :all: --no-binary pysyncobj -r requirements.lock" in lines
    assert "\nUSER 10001\n" in lines
