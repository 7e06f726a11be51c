"""What the docker CLI prints, step by step: on ours, on a real engine, and held against each other.

`python -m tests.transcript record [SCENARIO...]` writes the golden output from real engines; `ours` compares ours with
it; `both` plays both in one run. `TRANSCRIPT=FILE python -m tests.transcript replay [SCENARIO...]` plays the recorded
steps of that file against ours and counts those that come out the same: as root, a daemon of its own plays those of one
machine that need no tasks. TRANSCRIPT_FILES is a folder with the files that its steps name (else recorded/), and with
what was done between two steps (STEP.sh).
"""
