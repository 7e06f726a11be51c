"""The `docker` backend: an existing Docker Swarm, driven through its Engine API.

Nothing is imported here: `greeting` has made a first call before `cluster` and all that it needs are read.
"""
