"""What the docker CLI prints, step by step: on ours, on a real engine, and held against each other.

`python -m tests.transcript record` writes the golden output from a real engine, `ours` compares ours with it, and
`TRANSCRIPT=FILE python -m tests.transcript replay [SCENARIO...]` plays recorded steps of that file against ours.
"""
