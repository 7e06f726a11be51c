"""One comment on a pull request, edited in place; and commit statuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from reconciler import __version__
from reconciler.adapters.forges.dialects import DIALECTS, headers
from reconciler.adapters.whole_answers import whole
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.forges import CommentFate, CommitStatus, ForgeAddress, PostedComment
from reconciler.model.json import JsonObject, JsonValue

REQUEST_WAIT_S = 30.0
ATTEMPTS_MAX = 4
"""Times that a request is sent, at most, when the forge is overloaded, limits its rate, or does not answer."""

BACKOFF_S = 1.0
"""Seconds before the second attempt; doubled for each further one."""

RETRY_AFTER_MAX_S = 60.0
"""The longest wait that a forge may ask for; more is told as a refusal."""

PAGE_SIZE = 100
PAGES_MAX = 100
ANSWER_BYTES_MAX = 32 * 1024 * 1024
MESSAGE_CHARACTERS_MAX = 300
PASSING = frozenset({500, 502, 503, 504})
RATE_LIMITED = frozenset({403, 429})
"""GitHub says 403 as well, which is a want of permission where nothing says how long to wait."""

_SECONDS = re.compile(r"[0-9]{1,12}")
_WRONG_VALUE = "Check --pull-request and --commit: the repository must have both."
_HINTS = {
    400: _WRONG_VALUE,
    401: "Give a valid token in the environment; `swarmctl comment --help` names the variables.",
    403: "The token must be allowed to write comments and commit statuses, and not be rate limited.",
    404: "Check --repo, --pull-request, --commit and --api-url. A token that may not see the project gets this, too.",
    422: _WRONG_VALUE,
}
_MOVED = "Give --api-url and --repo as they are now; the token is sent to no address that is only redirected to."


class _NotForUs(SwarmctlError):
    """The forge lets this token not do that, or knows no such thing."""


class ForgeClient:
    """A forge's REST API over one HTTP session. Use it as an async context manager.

    Every method raises SwarmctlError: forge-unreachable, forge-refused. The token is in no error.
    """

    def __init__(self, address: ForgeAddress, backoff_s: float = BACKOFF_S) -> None:
        self._address = address
        self._backoff_s = backoff_s
        self._dialect = DIALECTS[address.name]
        self._repository = self._dialect.repository(address.repository)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ForgeClient:
        sent = headers(self._address.name, self._address.token) | {"User-Agent": f"swarmctl/{__version__}"}
        timeout = aiohttp.ClientTimeout(total=REQUEST_WAIT_S)
        self._session = aiohttp.ClientSession(headers=sent, timeout=timeout, trust_env=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def put_comment(self, pull_request: int, marker: str, body: str) -> PostedComment:
        """Make `body`, which begins with `marker`, the one comment that does: edit it, or create it.

        What somebody else wrote and has the marker further down, as a reply that quotes ours, is left alone; so is what
        the token may not edit, as a comment that another account made. Of two runs at once that both create one, the
        later takes its own back and edits the other's.
        """
        path = self._dialect.comments.format(repo=self._repository, number=pull_request)
        refused: set[JsonValue] = set()
        async for found in self._comments(path, marker):
            if (posted := await self._edited(pull_request, found, body)) is not None:
                return posted
            refused.add(found["id"])
        created = await self._written("POST", path, body)
        async for found in self._comments(path, marker):
            if found["id"] == created["id"]:
                break
            if found["id"] in refused or (posted := await self._edited(pull_request, found, body)) is None:
                continue
            with contextlib.suppress(_NotForUs):
                await self._send("DELETE", self._path_of(pull_request, created))
            return posted
        return PostedComment(CommentFate.CREATED, _page(created))

    async def _edited(self, pull_request: int, found: JsonObject, body: str) -> PostedComment | None:
        """Make `body` the text of a comment; None where the token may not, or the comment is gone."""
        if str(found["body"]).strip() == body.strip():
            return PostedComment(CommentFate.UNCHANGED, _page(found))
        try:
            edited = await self._written(self._dialect.edit_method, self._path_of(pull_request, found), body)
        except _NotForUs:
            return None
        return PostedComment(CommentFate.EDITED, _page(edited))

    def _path_of(self, pull_request: int, comment: JsonObject) -> str:
        return self._dialect.comment.format(repo=self._repository, number=pull_request, id=comment["id"])

    async def _written(self, method: str, path: str, body: str) -> JsonObject:
        """Return the comment that was written. A page of HTML with status 200 is no sign that one was."""
        answer = await self._send(method, path, {"body": body})
        if not isinstance(answer, dict) or "id" not in answer:
            raise self._no_api("no comment")
        return answer

    async def put_status(self, status: CommitStatus) -> None:
        """Set a commit's status; one of the same context is replaced by it."""
        repository = self._dialect.repository(status.repository) if status.repository else self._repository
        path = self._dialect.statuses.format(repo=repository, commit=status.commit)
        await self._send("POST", path, self._dialect.status_body(status))

    async def _comments(self, path: str, marker: str) -> AsyncIterator[JsonObject]:
        """Yield the comments that begin with the marker, oldest first: GitLab has to be asked for that. Gitea has all
        comments on one page, whichever page is asked for.
        """
        first_of_last_page = None
        for page in range(1, PAGES_MAX + 1):
            found = await self._send("GET", f"{path}?sort=asc&per_page={PAGE_SIZE}&limit={PAGE_SIZE}&page={page}")
            if not isinstance(found, list) or not all(isinstance(one, dict) and "id" in one for one in found):
                raise self._no_api("no list of comments")
            if not found or found[0]["id"] == first_of_last_page:
                return
            for comment in found:
                if str(comment.get("body") or "").lstrip().startswith(marker):
                    yield comment
            if len(found) < PAGE_SIZE:
                return
            first_of_last_page = found[0]["id"]

    async def _send(self, method: str, path: str, body: JsonObject | None = None) -> JsonValue:
        """Return the JSON that the forge answers, after a bounded number of attempts.

        A POST is sent again only when the forge said that it did not do it: one that was lost on the way may have
        been carried out, and a second comment is worse than an error.
        """
        for attempt in range(ATTEMPTS_MAX):
            last = attempt == ATTEMPTS_MAX - 1
            try:
                status, pause_s, answer = await self._exchange(method, path, body)
            except aiohttp.InvalidURL as error:
                raise _no_address() from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:  # what is wrong with a certificate as well
                if last or (method == "POST" and not isinstance(error, aiohttp.ClientConnectorError)):
                    raise self._unreachable(error) from error
            except ValueError as error:
                raise _no_address() from error
            else:
                if status < 300:
                    return answer
                limited = status in RATE_LIMITED and (status == 429 or pause_s is not None)
                passing = limited or (status in PASSING and (method != "POST" or status == 503))
                if last or not passing or (pause_s or 0.0) > RETRY_AFTER_MAX_S:
                    raise self._refused(status, answer, pause_s if limited else None)
                await asyncio.sleep(pause_s or 0.0)
            await asyncio.sleep(self._backoff_s * 2**attempt)
        raise AssertionError("unreachable")

    async def _exchange(self, method: str, path: str, body: JsonObject | None) -> tuple[int, float | None, JsonValue]:
        """Return (status, seconds to wait or None as the forge asks, its JSON).

        Redirects are not followed: what they ask of another address, and the token with it, is not for us to send.
        """
        assert self._session is not None
        url = f"{self._address.api_url.rstrip('/')}/{path}"
        async with self._session.request(method, url, json=body, allow_redirects=False) as response:
            content = await whole(response, ANSWER_BYTES_MAX)
            wait_s = _pause_s(response.headers, time.time())
            if len(content) > ANSWER_BYTES_MAX:
                return 500, RETRY_AFTER_MAX_S + 1, {"message": f"An answer of more than {ANSWER_BYTES_MAX} bytes."}
            try:
                answer: Any = json.loads(content) if content else None
            except (ValueError, RecursionError):
                answer = None
            if 300 <= response.status < 400:
                answer = {"message": _elsewhere(response.headers.get("Location", ""))}
            return response.status, wait_s, answer

    def _unreachable(self, error: BaseException) -> SwarmctlError:
        why = "It did not answer in time." if isinstance(error, TimeoutError) else f"{error}."
        return SwarmctlError(
            ErrorCode.FORGE_UNREACHABLE,
            f"{self._address.name} does not answer at {self._address.api_url}.",
            why=why,
            hint="Check --api-url and the network, then run the command again: the comment is edited in place.",
        )

    def _no_api(self, what: str) -> SwarmctlError:
        return SwarmctlError(
            ErrorCode.FORGE_REFUSED,
            f"{self._address.name} answers at {self._address.api_url}, but not as its API does.",
            why=f"What it sent is {what}: a page for people, perhaps, or that of a proxy.",
            hint=f"Check --api-url: it is the REST API's address, as {self._dialect.api_example} of an own server.",
        )

    def _refused(self, status: int, answer: JsonValue, pause_s: float | None = None) -> SwarmctlError:
        said = answer.get("message") or answer.get("error") if isinstance(answer, dict) else None
        message = f"Status {status}" + (f": {str(said)[:MESSAGE_CHARACTERS_MAX]}" if said else "") + "."
        kind = _NotForUs if status in (403, 404) and pause_s is None else SwarmctlError
        return kind(
            ErrorCode.FORGE_REFUSED,
            f"{self._address.name} refused the request for {self._address.repository}.",
            why=message,
            hint=_MOVED
            if 300 <= status < 400
            else _HINTS.get(status, "Look at the forge's status page, then run the command again.")
            if pause_s is None
            else f"Its rate limit is used up: run the command again in {math.ceil(pause_s)} s.",
        )


def _no_address() -> SwarmctlError:
    """The address is not shown: a proxy's may hold a password."""
    return SwarmctlError(
        ErrorCode.BAD_SETTING,
        "The forge's address, or that of the proxy before it, is none.",
        why="--api-url, or one of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, does not begin as http://HOST:PORT does.",
        hint="Write it with its http:// or https:// and a host, or add the forge's host to NO_PROXY.",
    )


def _elsewhere(location: str) -> str:
    """Return where a redirect leads, as far as it may be shown."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "a redirect"
    there = f"{parts.scheme}://{host}{f':{port}' if port else ''}" if host else ""
    return f"it redirects to {there}{parts.path}"


def _page(comment: JsonValue) -> str:
    return str(comment.get("html_url") or "") if isinstance(comment, dict) else ""


def _pause_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds the forge asks to be left alone, None where it does not. `now` is the time of day.

    Source: GitHub, "Rate limits for the REST API": Retry-After, or x-ratelimit-reset once none remain; GitLab says the
    former, too, which may be a date (RFC 9110, as proxies give it).
    """
    after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if _SECONDS.fullmatch(after):
        return float(after)
    if after:
        with contextlib.suppress(ValueError):
            return max(0.0, parsedate_to_datetime(after).timestamp() - now)
    if headers.get("X-RateLimit-Remaining") == "0" and _SECONDS.fullmatch(reset):
        return max(0.0, float(reset) - now)
    return None
