"""All settings, parsed once into frozen values. Nobody else reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from reconciler.model.discreet import Discreet
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.forges import ForgeName

CONTROLLER_SOCKET = "unix:///var/lib/swarmctl/controller.sock"
"""Where the systemd unit's controller listens."""

API_TOKEN_CHARS_MIN = 20
"""Characters of a bearer token of the controller's API, at least: fewer could be tried out."""
API_TOKEN_CHARS_MAX = 512

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of a byte that is no UTF-8."""


_EVENTS_OF_HEADS = frozenset({"", "push", "merge_group"})
"""Events of GITHUB_EVENT_NAME in which GITHUB_SHA is a commit that a status is looked for on."""


class EndpointSettings(msgspec.Struct, frozen=True):
    """Which engine to talk to, by the docker CLI's own rules and variables."""

    host: str | None = None
    """unix://PATH, tcp://HOST:PORT or ssh://USER@HOST (DOCKER_HOST, or --host). None: ask the context."""
    context: str | None = None
    """A docker context's name (DOCKER_CONTEXT, or --context). None: the current one of the docker configuration."""
    tls_verify: bool = False
    """Verify a tcp host against `cert_path`/ca.pem (DOCKER_TLS_VERIFY). Contexts bring their own."""
    cert_path: str | None = None
    """Folder of ca.pem, cert.pem and key.pem (DOCKER_CERT_PATH). None: `config_dir`."""
    config_dir: str = ""
    """The docker configuration's folder, with config.json and contexts/ (DOCKER_CONFIG). Default ~/.docker."""
    request_timeout_s: float = 60.0
    """Seconds for one request (SWARMCTL_REQUEST_TIMEOUT). dockerd itself gives up on a lost quorum after 20."""


class ControllerSettings(Discreet, frozen=True):
    """Which running controller the commands ask."""

    UNSHOWN = frozenset({"token"})

    address: str = CONTROLLER_SOCKET
    """unix://PATH or https://HOST:PORT (SWARMCTL_CONTROLLER). The default is that of the systemd unit."""
    token: str = ""
    """For https (SWARMCTL_CONTROLLER_TOKEN): never an argument, which other users of a machine can read."""
    ca_file: str = ""
    """PEM file of the authority of its certificate (SWARMCTL_CONTROLLER_CA). "": the system's authorities."""
    is_named: bool = False
    """Somebody has said which: `status` then asks it, and not an engine."""


class Settings(Discreet, frozen=True):
    """Everything that the environment says."""

    UNSHOWN = frozenset({"environment"})

    endpoint: EndpointSettings
    environment: Mapping[str, str]
    """The whole process environment: what `${NAME}` in a stack file is taken from, as docker stack deploy does."""
    home: str
    """What `~` means in a stack file."""
    data_dir: str
    """Where the embedded swarm keeps its socket and its tasks' folders (SWARMCTL_DATA_DIR)."""
    parallel_writes: int = 8
    """How many independent actions are carried out at once (SWARMCTL_PARALLEL). A manager commits one at a time."""
    controller: ControllerSettings = msgspec.field(default_factory=ControllerSettings)
    color: bool | None = None
    """Colour: None asks the terminal; NO_COLOR switches it off, FORCE_COLOR on."""


def _positive(environment: Mapping[str, str], name: str, default: float, *, least: float = 0.0) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf") or number < least:
        raise SwarmctlError(
            ErrorCode.BAD_SETTING,
            f"{name} is not {f'a number of {least:g} or more' if least else 'a positive number'}.",
            why=f"Its value is {text!r}.",
            hint=f"Unset {name}, or set it to a number such as {default:g}.",
        )
    return number


def _color(environment: Mapping[str, str]) -> bool | None:
    if environment.get("NO_COLOR"):
        return False
    return True if environment.get("FORCE_COLOR") else None


def _data_dir(environment: Mapping[str, str]) -> str:
    if chosen := environment.get("SWARMCTL_DATA_DIR"):
        return chosen
    if state := environment.get("XDG_STATE_HOME"):
        return str(Path(state) / "swarmctl")
    if home := environment.get("HOME"):
        return str(Path(home) / ".local" / "state" / "swarmctl")
    import tempfile  # noqa: PLC0415 - the last resort, and much to read at each start

    return str(Path(tempfile.gettempdir()) / f"swarmctl-{os.getuid()}")


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of `environment`, the process's own by default.

    Raises SwarmctlError (bad-setting) for a value that makes no sense.
    """
    env = dict(os.environ if environment is None else environment)
    home = env.get("HOME") or str(Path("~").expanduser())
    endpoint = EndpointSettings(
        host=env.get("DOCKER_HOST") or None,
        context=env.get("DOCKER_CONTEXT") or None,
        tls_verify=bool(env.get("DOCKER_TLS_VERIFY")),
        cert_path=env.get("DOCKER_CERT_PATH") or None,
        config_dir=env.get("DOCKER_CONFIG") or str(Path(home) / ".docker"),
        request_timeout_s=_positive(env, "SWARMCTL_REQUEST_TIMEOUT", 60.0),
    )
    return Settings(
        endpoint=endpoint,
        environment={_as_sent(name): _as_sent(value) for name, value in env.items()},
        home=home,
        data_dir=_data_dir(env),
        parallel_writes=int(_positive(env, "SWARMCTL_PARALLEL", 8, least=1)),
        controller=_controller(env),
        color=_color(env),
    )


def _as_sent(text: str) -> str:
    """Return what Go's JSON, and so docker, makes of a variable: U+FFFD for each byte that is no UTF-8.

    Otherwise what the swarm keeps would never be what the file asks for.
    """
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _controller(environment: Mapping[str, str]) -> ControllerSettings:
    address = environment.get("SWARMCTL_CONTROLLER", "")
    return ControllerSettings(
        address=address or CONTROLLER_SOCKET,
        token=environment.get("SWARMCTL_CONTROLLER_TOKEN", ""),
        ca_file=environment.get("SWARMCTL_CONTROLLER_CA", ""),
        is_named=bool(address),
    )


class ForgeSettings(Discreet, frozen=True):
    """What a CI job's environment says of the forge that it runs for. "" and None: it does not say."""

    UNSHOWN = frozenset({"token"})

    api_url: str = ""
    repository: str = ""
    """Where the pull request is."""
    status_repository: str = ""
    """Where the commit's status belongs; "" is where the pull request is. A fork's job on GitLab runs in the fork."""
    pull_request: int | None = None
    commit: str = ""
    run_url: str = ""
    """The job's own page, for the commit status to link to."""
    token: str = ""


def forge(environment: Mapping[str, str], name: ForgeName) -> ForgeSettings:
    """Return the defaults of `swarmctl comment` from the variables that the forge's CI sets.

    The token is SWARMCTL_FORGE_TOKEN, else GITHUB_TOKEN, GITLAB_TOKEN or GITEA_TOKEN: never an argument, which other
    users of a machine can read. GITHUB_SHA is a trial merge where the event is a pull request's, on which nobody would
    see a status, and the default branch's last commit for most others, as `issue_comment`. Source: GitHub, "Events that
    trigger workflows".
    """
    given = environment.get("SWARMCTL_FORGE_TOKEN") or environment.get(f"{name.upper()}_TOKEN", "")
    token = given.strip()  # a line feed at its end, as CI variables have that were pasted, can be in no header
    if name is ForgeName.GITLAB:
        number, project = environment.get("CI_MERGE_REQUEST_IID", ""), environment.get("CI_PROJECT_ID", "")
        return ForgeSettings(
            api_url=environment.get("CI_API_V4_URL", ""),
            repository=environment.get("CI_MERGE_REQUEST_PROJECT_ID") or project,
            status_repository=project,
            pull_request=int(number) if number.isdigit() else None,
            commit=environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environment.get("CI_COMMIT_SHA", ""),
            run_url=environment.get("CI_JOB_URL", ""),
            token=token,
        )
    server, repository = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
    api_url = environment.get("GITHUB_API_URL", "")
    if name is ForgeName.GITEA and server:
        api_url = f"{server.rstrip('/')}/api/v1"
    run = environment.get("GITHUB_RUN_ID", "")
    return ForgeSettings(
        api_url=api_url or ("https://api.github.com" if name is ForgeName.GITHUB else ""),
        repository=repository,
        pull_request=_pull_request_of(environment.get("GITHUB_REF", "")),
        commit=environment.get("GITHUB_SHA", "")
        if environment.get("GITHUB_EVENT_NAME", "") in _EVENTS_OF_HEADS
        else "",
        run_url=f"{server}/{repository}/actions/runs/{run}" if server and repository and run else "",
        token=token,
    )


def _pull_request_of(ref: str) -> int | None:
    """Return the number in refs/pull/NUMBER/merge, as Actions set GITHUB_REF for a pull request."""
    steps = ref.split("/")
    return int(steps[2]) if len(steps) > 2 and steps[:2] == ["refs", "pull"] and steps[2].isdigit() else None
