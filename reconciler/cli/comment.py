"""comment: what a pull request changes, as one comment on it that each run edits in place, and as a commit status."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from reconciler import settings
from reconciler.cli import options, plans
from reconciler.cli.connection import Connection
from reconciler.cli.diff import BaseOption, Connecting, HeadOption, OfflineOption, Question, answer, check_revisions
from reconciler.cli.options import (
    BackendOption,
    ComposeFilesOption,
    ContextOption,
    EngineChoice,
    HostOption,
    PathArgument,
    ResolveOption,
    RevisionOption,
    StackNameOption,
    StacksOption,
    StrictOption,
)
from reconciler.cli.ports import Outside
from reconciler.cli.terminal import Terminal
from reconciler.model.errors import ErrorCode, ExitCode, Problem, SwarmctlError
from reconciler.model.forges import CommitStatus, ForgeAddress, ForgeName, StatusState
from reconciler.model.images import ResolveMode
from reconciler.model.plan import Plan
from reconciler.model.words import many
from reconciler.planning import render_markdown, render_text
from reconciler.settings import EndpointSettings, ForgeSettings

STATUS_CONTEXT = "swarmctl/plan"
DEFAULT_NAME = "default"

ProviderOption = Annotated[ForgeName, typer.Option("--provider", help="What kind of forge the pull request is on.")]
RepositoryOption = Annotated[
    str | None, typer.Option("--repo", help="OWNER/NAME; on GitLab the project's path or number.", metavar="REPO")
]
PullRequestOption = Annotated[
    int | None, typer.Option("--pull-request", "-p", min=1, metavar="N", help="Number of the pull or merge request.")
]
ApiUrlOption = Annotated[
    str | None, typer.Option("--api-url", help="The forge's REST API; default: what CI says.", metavar="URL")
]
CommitOption = Annotated[
    str | None, typer.Option("--commit", help="The commit that gets the status; default: what CI says.", metavar="SHA")
]
NameOption = Annotated[
    str,
    typer.Option(
        "--name", help="Tells several comments on one pull request, and their statuses, apart.", metavar="NAME"
    ),
]


def register(app: typer.Typer, outside: Outside, terminal: Terminal) -> None:
    """Add the command to `app`."""

    @app.command()
    def comment(
        provider: ProviderOption,
        path: PathArgument = ".",
        repository: RepositoryOption = None,
        pull_request: PullRequestOption = None,
        api_url: ApiUrlOption = None,
        commit: CommitOption = None,
        status: Annotated[bool, typer.Option("--status/--no-status", help="Set the commit's status, too.")] = True,
        name: NameOption = DEFAULT_NAME,
        revision: RevisionOption = None,
        base: BaseOption = None,
        head: HeadOption = None,
        offline: OfflineOption = False,
        stack: StacksOption = None,
        stack_name: StackNameOption = None,
        compose_file: ComposeFilesOption = None,
        host: HostOption = None,
        context: ContextOption = None,
        backend: BackendOption = None,
        resolve_image: ResolveOption = None,
        strict: StrictOption = False,
    ) -> None:
        """Post the plan as a pull request comment, edited in place, and set the commit's status.

        The token comes from SWARMCTL_FORGE_TOKEN, or from GITHUB_TOKEN, GITLAB_TOKEN or GITEA_TOKEN. Exit code 0 when
        both are posted and the plan can be carried out; 1 otherwise. Manifests with errors are commented on as well.
        """
        name = name or DEFAULT_NAME  # as of a variable that CI has not set
        check_revisions(revision, base, head, offline=offline, saved=False)
        given = ForgeSettings(
            api_url=api_url or "", repository=repository or "", pull_request=pull_request, commit=commit or ""
        )
        target = target_of(outside, given, provider, status=status)
        source = options.source(path, revision if head is None else head, stack_name, compose_file)
        resolve = resolve_image or ResolveMode.CHANGED
        question = Question(source, base, offline, plans.selected(stack), resolve)
        endpoint = EndpointSettings() if offline else options.endpoint(outside, EngineChoice(host, context, backend))
        verdict = judge(outside, question, lambda: Connection(outside, endpoint), name, strict=strict)
        try:
            asyncio.run(_post(outside, target, verdict, name, terminal))
            if status and not target.commit:
                terminal.note("No status is set: nothing says which commit is the pull request's head. Give --commit.")
        finally:
            terminal.problems(verdict.problems)
        raise typer.Exit(ExitCode.OK if verdict.state is StatusState.SUCCESS else ExitCode.ERROR)


class Target(msgspec.Struct, frozen=True):
    """Where to post. `commit` "" means: no status; `status_repository` "": where the pull request is."""

    address: ForgeAddress
    pull_request: int
    commit: str
    status_repository: str
    run_url: str


class Verdict(msgspec.Struct, frozen=True):
    """What is posted: the comment's text, and the status in one line. `problems` are for the job's own log."""

    body: str
    state: StatusState
    summary: str
    problems: tuple[Problem, ...] = ()


def target_of(outside: Outside, given: ForgeSettings, provider: ForgeName, *, status: bool) -> Target:
    """Return where to post: what was given, completed by what CI says. Raises usage, bad-setting."""
    known = settings.forge(outside.settings.environment, provider)
    api_url = given.api_url or known.api_url
    repository = given.repository or known.repository
    pull_request = given.pull_request or known.pull_request
    missing = [
        name
        for name, value in (
            ("--api-url", api_url),
            ("--repo", repository),
            ("--pull-request", pull_request),
            (f"the token in SWARMCTL_FORGE_TOKEN or {provider.upper()}_TOKEN", known.token),
        )
        if not value
    ]
    if missing or pull_request is None:
        raise SwarmctlError(
            ErrorCode.USAGE,
            f"It is not known where to comment: {', '.join(missing)} missing.",
            why=f"Neither an option nor the environment of a {provider} job says it.",
            hint="Give the options; the token only by the environment, as arguments can be read by other users.",
        )
    address = ForgeAddress(provider, _checked(api_url), repository, _sound(known.token, provider))
    commit = (given.commit or known.commit) if status else ""
    return Target(address, pull_request, commit, "" if given.repository else known.status_repository, known.run_url)


def _checked(api_url: str) -> str:
    """Return the API's address. Raises usage for what is none, or holds a login: an error would show that."""
    try:
        parts = urlsplit(api_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if is_address and "@" not in parts.netloc and api_url.isprintable() and not (parts.query or parts.fragment):
        return api_url
    raise SwarmctlError(
        ErrorCode.USAGE,
        "The forge's address is no address of an API.",
        why="It is http:// or https:// with a host and perhaps a path, and holds no user, password or query."
        if is_address
        else "It does not begin with http:// or https:// and a host.",
        hint="Give it with --api-url, as https://HOST/api/v4; the token only by the environment.",
    )


def _sound(token: str, provider: ForgeName) -> str:
    """Return the token. Raises bad-setting where no HTTP header can carry it."""
    if token.isprintable():
        return token
    raise SwarmctlError(
        ErrorCode.BAD_SETTING,
        f"The token in SWARMCTL_FORGE_TOKEN or {provider.upper()}_TOKEN is no token.",
        why="It holds a line break or another control character, which no HTTP header can carry.",
        hint="Set the variable to the token alone: one line, without anything before or after it.",
    )


def judge(outside: Outside, question: Question, connect: Connecting, name: str, *, strict: bool) -> Verdict:
    """Return what to post about the plan, or about the errors that kept it from being made."""
    try:
        plan = answer(outside, question, connect).plan
    except SwarmctlError as error:
        summary = f"{many(len(error.problems), 'error')}, no plan"
        body = render_markdown.render_problems(error.problems, marker=name)
        return Verdict(body, StatusState.FAILURE, summary, error.problems)
    return _of_plan(plan, name, strict=strict)


def _of_plan(plan: Plan, name: str, *, strict: bool) -> Verdict:
    problems = tuple(one.problem for one in plan.blocked) + (plan.unplaceable if strict else ())
    state = StatusState.FAILURE if problems else StatusState.SUCCESS
    summary = render_text.NO_CHANGES if plan.is_empty else render_text.totals(plan)
    return Verdict(render_markdown.render(plan, marker=name), state, summary, problems)


async def _post(outside: Outside, target: Target, verdict: Verdict, name: str, terminal: Terminal) -> None:
    """Post both, and tell of each once it is: what is done is known where the other fails."""
    async with outside.forge(target.address) as forge:
        posted = await forge.put_comment(target.pull_request, render_markdown.marker_line(name), verdict.body)
        terminal.say(f"Comment {posted.fate.value}: {posted.url or f'pull request {target.pull_request}'}")
        if target.commit:
            context = STATUS_CONTEXT if name == DEFAULT_NAME else f"{STATUS_CONTEXT}/{name}"
            page = posted.url or target.run_url
            await forge.put_status(
                CommitStatus(target.commit, verdict.state, verdict.summary, context, page, target.status_repository)
            )
            terminal.say(f"Status of {target.commit[:12]}: {verdict.state.value}, {verdict.summary}")
