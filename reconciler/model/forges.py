"""Where pull requests live: a comment on one, and a commit's status."""

from __future__ import annotations

import enum

import msgspec

from reconciler.model.discreet import Discreet


class ForgeName(enum.StrEnum):
    """The kinds of forge that swarmctl speaks to."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"


class StatusState(enum.StrEnum):
    """What a commit's status says; each forge has its own words for these."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"


class ForgeAddress(Discreet, frozen=True):
    """A repository on a forge. `repository` is OWNER/NAME, or on GitLab a path or number; `token` is a secret."""

    UNSHOWN = frozenset({"token"})

    name: ForgeName
    api_url: str
    repository: str
    token: str


class CommentFate(enum.StrEnum):
    """What became of the one comment."""

    CREATED = "created"
    EDITED = "edited"
    UNCHANGED = "left as it is"


class PostedComment(msgspec.Struct, frozen=True):
    """The comment as it is now; `url` is "" where the forge tells none."""

    fate: CommentFate
    url: str = ""


class CommitStatus(msgspec.Struct, frozen=True):
    """A status to set: `context` tells it from other programs' statuses. `repository` "" is the pull request's."""

    commit: str
    state: StatusState
    description: str
    context: str
    target_url: str = ""
    repository: str = ""
