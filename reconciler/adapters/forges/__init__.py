"""GitHub, GitLab and Gitea: pull request comments and commit statuses."""

from reconciler.adapters.forges.client import ForgeClient

__all__ = ["ForgeClient"]
