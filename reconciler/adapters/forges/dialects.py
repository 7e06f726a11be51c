"""How the forges' REST APIs differ: paths, headers, and words. Nothing else about them does, for our purposes.

Sources: GitHub REST "Issue comments" and "Commit statuses" (2022-11-28), GitLab API v4 "Notes" and "Commits",
Gitea API v1 "issue" and "repository" (its Swagger file).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from reconciler.model.forges import CommitStatus, ForgeName, StatusState


class Dialect(msgspec.Struct, frozen=True):
    """One forge's way. In the templates, `repo` is escaped already."""

    comments: str
    """Path of a pull request's comments: list with GET, add with POST."""
    comment: str
    """Path of one comment."""
    edit_method: str
    statuses: str
    """Path to which a commit's status is POSTed."""
    status_context_key: str
    states: Mapping[StatusState, str]
    description_max: int
    """Characters of a status's description that the forge takes."""
    repository_slashes: str
    """Characters that stay unescaped in the repository's name."""
    api_example: str
    """Address of the API of a server of one's own."""

    def repository(self, name: str) -> str:
        return quote(name, safe=self.repository_slashes)

    def status_body(self, status: CommitStatus) -> dict[str, str]:
        """Return the JSON body that sets a commit's status."""
        body = {
            "state": self.states[status.state],
            "description": status.description[: self.description_max],
            self.status_context_key: status.context,
        }
        return body | ({"target_url": status.target_url} if status.target_url else {})


_SAME_WORDS = {StatusState.PENDING: "pending", StatusState.SUCCESS: "success", StatusState.FAILURE: "failure"}

_GITHUB = Dialect(
    comments="repos/{repo}/issues/{number}/comments",
    comment="repos/{repo}/issues/comments/{id}",
    edit_method="PATCH",
    statuses="repos/{repo}/statuses/{commit}",
    status_context_key="context",
    states=_SAME_WORDS,
    description_max=140,
    repository_slashes="/",
    api_example="https://HOST/api/v3",
)

DIALECTS: Mapping[ForgeName, Dialect] = {
    ForgeName.GITHUB: _GITHUB,
    ForgeName.GITLAB: Dialect(
        comments="projects/{repo}/merge_requests/{number}/notes",
        comment="projects/{repo}/merge_requests/{number}/notes/{id}",
        edit_method="PUT",
        statuses="projects/{repo}/statuses/{commit}",
        status_context_key="name",
        states=_SAME_WORDS | {StatusState.FAILURE: "failed"},
        description_max=255,
        repository_slashes="",
        api_example="https://HOST/api/v4",
    ),
    ForgeName.GITEA: replace(_GITHUB, description_max=255, api_example="https://HOST/api/v1"),
}


def headers(name: ForgeName, token: str) -> dict[str, str]:
    """Return what every request carries: who asks, and which version of the API is meant."""
    if name is ForgeName.GITLAB:
        return {"PRIVATE-TOKEN": token}
    if name is ForgeName.GITEA:
        return {"Authorization": f"token {token}"}
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
