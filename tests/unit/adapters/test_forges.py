"""The forges' REST APIs, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from reconciler.adapters.forges import ForgeClient
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.forges import CommentFate, CommitStatus, ForgeAddress, ForgeName, PostedComment, StatusState
from tests.fakes.forge import REPOSITORY, TOKEN, Forge

MARKER = "<!-- swarmctl:plan:default -->"
Answer = TypeVar("Answer")


@pytest.fixture(params=list(ForgeName))
def forge(request: pytest.FixtureRequest) -> Iterator[Forge]:
    with Forge(request.param.value) as running:
        yield running


def ask(
    forge: Forge,
    question: Callable[[ForgeClient], Awaitable[Answer]],
    *,
    repository: str = REPOSITORY,
    token: str = TOKEN,
    url: str = "",
) -> Answer:
    async def inside() -> Answer:
        address = ForgeAddress(ForgeName(forge.provider), url or forge.url, repository, token)
        async with ForgeClient(address, backoff_s=0.001) as client:
            return await question(client)

    return asyncio.run(inside())


def put(body: str) -> Callable[[ForgeClient], Awaitable[PostedComment]]:
    return lambda client: client.put_comment(7, MARKER, f"{MARKER}\n{body}")


def test_there_is_one_comment_and_it_is_edited_in_place(forge: Forge):
    forge.add("A person's comment.")
    fates = [ask(forge, put(body)).fate for body in ("one", "two", "two")]
    assert fates == [CommentFate.CREATED, CommentFate.EDITED, CommentFate.UNCHANGED]
    assert [comment["body"] for comment in forge.comments.values()] == ["A person's comment.", f"{MARKER}\ntwo"]


def test_comments_of_other_names_are_left_alone(forge: Forge):
    ask(forge, put("one"))
    other = "<!-- swarmctl:plan:staging -->"
    ask(forge, lambda client: client.put_comment(7, other, f"{other}\nstaging"))
    assert len(forge.comments) == 2


def test_the_comment_is_found_on_a_later_page(forge: Forge):
    for number in range(250):
        forge.add(f"comment {number}")
    ask(forge, put("one"))
    assert ask(forge, put("two")).fate is CommentFate.EDITED
    assert len(forge.comments) == 251


def test_exactly_a_full_page_is_no_endless_listing(forge: Forge):
    for number in range(100):
        forge.add(f"comment {number}")
    assert ask(forge, put("one")).fate is CommentFate.CREATED
    assert sum(1 for method, _ in forge.requests if method == "GET") <= 4  # two before, two after it was created


@pytest.mark.parametrize("state", list(StatusState))
def test_a_status_is_in_the_forges_own_words_and_within_its_limits(forge: Forge, state: StatusState):
    status = CommitStatus("a" * 40, state, "x" * 400, "swarmctl/plan", "https://ci.test/1")
    ask(forge, lambda client: client.put_status(status))
    [stored] = forge.statuses
    assert stored["commit"] == "a" * 40
    assert stored["target_url"] == "https://ci.test/1"
    assert "swarmctl/plan" in (stored.get("context"), stored.get("name"))


def test_a_status_may_belong_to_another_repository_than_the_comment(forge: Forge):
    status = CommitStatus("a" * 40, StatusState.SUCCESS, "x", "swarmctl/plan", repository=REPOSITORY)
    ask(forge, lambda client: client.put_status(status), repository="team/upstream")
    assert len(forge.statuses) == 1


def test_passing_faults_are_waited_out(forge: Forge):
    forge.faults = [500, 429, None]
    assert ask(forge, put("one")).fate is CommentFate.CREATED


@pytest.mark.parametrize("headers", [{"Retry-After": "0"}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9"}])
def test_a_rate_limit_is_waited_out_whichever_status_it_has_and_a_comment_is_sent_again(
    forge: Forge, headers: dict[str, str]
):
    forge.faults, forge.fault_headers = [403, 429], headers
    assert ask(forge, put("one")).fate is CommentFate.CREATED
    ask(forge, lambda client: _refuse_the_post(forge, client))
    assert len(forge.comments) == 2


async def _refuse_the_post(forge: Forge, client: ForgeClient) -> object:
    forge.faults = [403]
    return await client._send("POST", client._dialect.comments.format(repo=client._repository, number=7), {"body": "x"})


def test_a_rate_limit_that_lasts_too_long_is_told_and_a_plain_403_is_no_rate_limit(forge: Forge):
    forge.faults, forge.fault_headers = [403], {"Retry-After": "3000"}
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"))
    assert "in 3000 s" in caught.value.problems[0].hint
    forge.faults, forge.fault_headers = [403], {"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": "9"}
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"))
    assert "allowed to write" in caught.value.problems[0].hint


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2099 07:28:00 GMT", "9" * 12])
def test_however_a_rate_limit_says_how_long_it_lasts_it_is_told_at_once(forge: Forge, after: str):
    forge.faults, forge.fault_headers = [429], {"Retry-After": after}
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"))
    assert "run the command again in" in caught.value.problems[0].hint
    assert len(forge.requests) == 1


@pytest.mark.parametrize("after", ["Thu, 01 Jan 1970 00:00:00 GMT", "soon", "9" * 400, "\u0663", "Wed, 99 Oct 99999"])
def test_a_rate_limit_that_is_over_or_makes_no_sense_is_tried_again(forge: Forge, after: str):
    forge.faults, forge.fault_headers = [429], {"Retry-After": after.encode("utf-8").decode("latin-1")}
    assert ask(forge, put("one")).fate is CommentFate.CREATED


def test_a_commit_that_the_forge_does_not_have_is_no_fault_of_its_service(forge: Forge):
    forge.faults = [422]
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, lambda client: client.put_status(CommitStatus("a" * 40, StatusState.SUCCESS, "x", "y")))
    assert "--commit" in caught.value.problems[0].hint


def test_a_comment_of_somebody_else_that_quotes_ours_is_left_alone_and_of_two_the_older_is_edited(forge: Forge):
    forge.add(f"> {MARKER}\n> one\n\nWhy?")
    older, newer = (forge.add(f"{MARKER}\n{number}") for number in (1, 2))
    ask(forge, put("three"))
    assert [forge.comments[number]["body"] for number in (older, newer)] == [f"{MARKER}\nthree", f"{MARKER}\n2"]


def test_two_runs_at_once_leave_one_comment(forge: Forge):
    forge.add("A person's comment.")
    forge.meanwhile = [f"{MARKER}\nof the other run"]
    assert ask(forge, put("ours")).fate is CommentFate.EDITED
    assert [comment["body"] for comment in forge.comments.values()] == ["A person's comment.", f"{MARKER}\nours"]


def test_a_comment_that_the_token_may_not_edit_is_left_alone(forge: Forge):
    forge.foreign.add(forge.add(f"{MARKER}\nof an account of before"))
    fates = [ask(forge, put(body)).fate for body in ("one", "two")]
    assert fates == [CommentFate.CREATED, CommentFate.EDITED]
    assert [one["body"].splitlines()[1] for one in forge.comments.values()] == ["of an account of before", "two"]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://me:pw@new.test:8443/api/v4/x?token=abc", "https://new.test:8443/api/v4/x."),
        ("https://[", "a redirect."),
    ],
)
def test_a_redirect_is_not_followed_and_says_where_to_go(forge: Forge, location: str, told: str):
    forge.faults, forge.fault_headers = [301], {"Location": location}
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"))
    problem = caught.value.problems[0]
    assert problem.why.endswith(told)
    assert "--api-url" in problem.hint
    assert "pw" not in repr(problem)
    assert len(forge.requests) == 1


def test_a_certificate_that_is_not_trusted_is_not_taken_for_an_address(forge: Forge, monkeypatch: pytest.MonkeyPatch):
    async def refused(*_: object) -> object:
        key = ConnectionKey("forge.test", 443, True, True, None, None, None)
        raise aiohttp.ClientConnectorCertificateError(key, ValueError("self-signed"))

    monkeypatch.setattr(ForgeClient, "_exchange", refused)
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"))
    assert caught.value.code is ErrorCode.FORGE_UNREACHABLE


def test_a_host_that_can_be_none_is_told(forge: Forge):
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"), url="http://a..b")
    assert caught.value.code is ErrorCode.BAD_SETTING


@pytest.mark.parametrize("proxy", ["me:pass-7c@127.0.0.1:3128", "http://me:pass-7c@127.0.0.1:99999"])
def test_a_proxy_that_is_no_address_is_told_without_its_password(
    forge: Forge, proxy: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"), url="http://forge.test")
    assert caught.value.code is ErrorCode.BAD_SETTING
    assert "pass-7c" not in repr(caught.value.problems)


def test_a_comment_that_may_have_been_posted_is_not_posted_twice(forge: Forge):
    forge.add("other")
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, lambda client: _drop_the_post(forge, client))
    assert caught.value.code is ErrorCode.FORGE_UNREACHABLE
    assert sum(1 for method, _ in forge.requests if method == "POST") == 1


async def _drop_the_post(forge: Forge, client: ForgeClient) -> object:
    await client._send("GET", client._dialect.comments.format(repo=client._repository, number=7))
    forge.faults = [None]
    return await client._send("POST", client._dialect.comments.format(repo=client._repository, number=7), {"body": "x"})


@pytest.mark.parametrize(
    ("token", "repository", "status"), [("wrong", REPOSITORY, "401"), (TOKEN, "team/other", "404")]
)
def test_a_refusal_says_what_to_do_and_never_the_token(forge: Forge, token: str, repository: str, status: str):
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"), token=token, repository=repository)
    problem = caught.value.problems[0]
    assert problem.code is ErrorCode.FORGE_REFUSED
    assert status in problem.why
    assert problem.hint
    assert TOKEN not in repr(caught.value.problems)


def test_a_forge_that_is_not_there_is_told_after_a_few_attempts(forge: Forge):
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"), url="http://127.0.0.1:1")
    assert caught.value.code is ErrorCode.FORGE_UNREACHABLE


PAGES = [b"<html>Sign in</html>", b"", b"{}", b'["x"]', b'[{"body": "x"}]', b"[" * 100_000, b"[]"]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_no_api_is_never_taken_for_a_comment(forge: Forge, page: bytes):
    forge.page = page
    with pytest.raises(SwarmctlError) as caught:
        ask(forge, put("one"))
    problem = caught.value.problems[0]
    version = {"github": "v3", "gitlab": "v4", "gitea": "v1"}[forge.provider]
    assert problem.code is ErrorCode.FORGE_REFUSED
    assert f"Check --api-url: it is the REST API's address, as https://HOST/api/{version} of" in problem.hint
