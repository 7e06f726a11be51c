"""Git: commits of a work tree in this process (commit), and sources that are fetched into a mirror of our own."""

from reconciler.adapters.git.commit import GitRevision

__all__ = ["GitRevision"]
