"""Runs on every node of the embedded swarm: takes tasks, drives the runtime, reports states."""
