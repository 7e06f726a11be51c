"""The way back: what a cluster is, as a repository that asks for just that."""
