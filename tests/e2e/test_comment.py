"""What a pull request changes: between two revisions, and as a comment on a forge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Program, Repository
from tests.fakes.forge import REPOSITORY, TOKEN, Forge

SWARM = "apiVersion: swarmctl/v1\nkind: Cluster\nmetadata: {name: shop}\n"
STACK = """\
services:
  web:
    image: nginx:{tag}
    configs: [site]
    deploy: {{replicas: 3}}
configs: {{site: {{file: site.conf}}}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "infra")
    made.commit({"swarm.yaml": SWARM, "stacks/shop.yaml": STACK.format(tag="1.25"), "stacks/site.conf": "listen 80\n"})
    made.commit({"stacks/shop.yaml": STACK.format(tag="1.27"), "stacks/site.conf": "listen 81\n"})
    return made


@pytest.fixture
def swarmctl(repository: Repository) -> Program:
    return Program(repository.folder, {"DOCKER_HOST": "unix:///nowhere.sock"})


@pytest.fixture(params=["github", "gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Iterator[Forge]:
    with Forge(request.param) as running:
        yield running


def comment(swarmctl: Program, forge: Forge, *more: str, code: int = 0) -> str:
    arguments = ["comment", "--provider", forge.provider, "--api-url", forge.url, "--repo", REPOSITORY]
    arguments += ["--pull-request", "7", "--base", "HEAD~1", "--head", "HEAD", "--offline", *more]
    return swarmctl.ok(*arguments, code=code)


def test_two_revisions_are_compared_without_any_cluster(swarmctl: Program):
    shown = swarmctl.ok("diff", "--base", "HEAD~1", "--head", "HEAD", "--offline", code=2)
    assert '"nginx:1.25" -> "nginx:1.27"' in shown
    assert "-listen 80" in shown
    assert "+listen 81" in shown
    assert "rolling restart of 3 tasks" in shown
    assert "Plan: 1 to add, 1 to change, 0 to destroy." in shown
    swarmctl.ok("diff", "--base", "HEAD", "--head", "HEAD", "--offline")
    swarmctl.ok("diff", "--base", "HEAD", "--offline")


def test_a_node_that_a_pull_request_lists_first_to_remove_it_is_no_lack_of_changes(
    swarmctl: Program, repository: Repository
):
    repository.commit({"swarm.yaml": f"{SWARM}spec: {{nodes: [{{hostname: old, state: absent}}]}}\n"})
    shown = swarmctl.ok("diff", "--base", "HEAD~1", "--head", "HEAD", "--offline", code=2)
    assert "node.old will be destroyed" in shown


def test_each_run_edits_the_one_comment_and_sets_the_status(swarmctl: Program, forge: Forge, repository: Repository):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = TOKEN
    assert "Comment created" in comment(swarmctl, forge, "--commit", "a" * 40)
    repository.commit({"stacks/shop.yaml": STACK.format(tag="1.28")})
    assert "Comment edited" in comment(swarmctl, forge, "--commit", "b" * 40)
    assert "left as it is" in comment(swarmctl, forge, "--no-status")

    [posted] = forge.comments.values()
    assert "nginx:1.28" in posted["body"]
    assert [status["commit"] for status in forge.statuses] == ["a" * 40, "b" * 40]
    assert {status["state"] for status in forge.statuses} == {"success"}


def test_errors_in_the_manifests_are_commented_on_and_fail(swarmctl: Program, forge: Forge, repository: Repository):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = TOKEN
    repository.commit({"stacks/shop.yaml": "services: {web: {image: nginx, replicas: 3}}\n"})
    failed = comment(swarmctl, forge, "--commit", "c" * 40, code=1)
    [posted] = forge.comments.values()
    assert "stacks/shop.yaml" in posted["body"]
    assert "replicas" in failed
    assert forge.statuses[0]["state"] in ("failure", "failed")


def test_without_a_token_it_says_which_variable_is_missing(swarmctl: Program, forge: Forge):
    assert f"{forge.provider.upper()}_TOKEN" in comment(swarmctl, forge, code=1)
    assert not forge.requests


def test_what_ci_says_need_not_be_repeated(swarmctl: Program):
    with Forge("github") as forge:
        swarmctl.environment |= {
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_API_URL": forge.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_SHA": "d" * 40,
        }
        said = swarmctl.ok("comment", "--provider", "github", "--base", "HEAD~1", "--offline")
        assert "No status is set" in said
        assert "--commit" in said
        assert "No status" not in swarmctl.ok(
            "comment", "--provider", "github", "--base", "HEAD~1", "--offline", "--no-status"
        )
        assert len(forge.comments) == 1
        assert forge.statuses == []  # GITHUB_SHA is a trial merge here, which shows no status


def test_a_token_of_two_lines_is_a_setting_to_mend(swarmctl: Program, forge: Forge):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = f"{TOKEN}\nanother line"
    failed = comment(swarmctl, forge, code=1)
    assert "[bad-setting]" in failed
    assert TOKEN not in failed
    assert not forge.requests


@pytest.mark.parametrize(
    "url",
    ["foo", "//forge.test", "https://", "https://forge.test:x", "http://[::1", "https://me:pass-4d@forge.test/api"],
)
def test_what_is_no_address_of_an_api_is_refused_without_a_login_in_it(swarmctl: Program, url: str):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = TOKEN
    arguments = ["--repo", REPOSITORY, "-p", "7", "--base", "HEAD~1", "--offline", "--api-url", url]
    failed = swarmctl.ok("comment", "--provider", "github", *arguments, code=1)
    assert "[usage]" in failed
    assert "--api-url" in failed
    assert "pass-4d" not in failed


def test_a_forge_that_refuses_is_told_without_the_token(swarmctl: Program, forge: Forge):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = "wrong-token-9d"
    refused = comment(swarmctl, forge, code=1)
    assert "[forge-refused]" in refused
    assert "wrong-token-9d" not in refused


def test_what_was_posted_is_told_where_the_status_is_refused(swarmctl: Program, forge: Forge):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = TOKEN
    forge.refuses_statuses = True
    refused = comment(swarmctl, forge, "--commit", "a" * 40, code=1)
    assert "Comment created" in refused
    assert "[forge-refused]" in refused


def test_errors_in_the_manifests_are_told_where_nothing_can_be_posted(
    swarmctl: Program, forge: Forge, repository: Repository
):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = "wrong-token-9d"
    repository.commit({"stacks/shop.yaml": "services: {web: {image: nginx, replicas: 3}}\n"})
    refused = comment(swarmctl, forge, code=1)
    assert "stacks/shop.yaml" in refused
    assert "[forge-refused]" in refused


def test_a_named_comment_on_one_stack_file_has_a_status_of_its_own(swarmctl: Program, forge: Forge):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = TOKEN
    arguments = ["comment", "--provider", forge.provider, "--api-url", forge.url, "--repo", REPOSITORY]
    arguments += ["--pull-request", "7", "--base", "HEAD~1", "--offline", "--commit", "a" * 40]
    swarmctl.ok(*arguments, "stacks/shop.yaml", "--stack-name", "store", "--name", "east")
    [posted] = forge.comments.values()
    assert "store_" in posted["body"]
    assert [status.get("context") or status["name"] for status in forge.statuses] == ["swarmctl/plan/east"]


def test_an_empty_name_is_that_of_the_one_comment(swarmctl: Program, forge: Forge):
    swarmctl.environment["SWARMCTL_FORGE_TOKEN"] = TOKEN
    comment(swarmctl, forge, "--commit", "a" * 40)
    assert "left as it is" in comment(swarmctl, forge, "--commit", "a" * 40, "--name", "")
    assert {status.get("context") or status["name"] for status in forge.statuses} == {"swarmctl/plan"}
