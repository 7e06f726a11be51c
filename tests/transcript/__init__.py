"""What the docker CLI prints, step by step: on ours, on a real engine, and held against each other.

`python -m tests.transcript record [SCENARIO...]` writes the golden output from real engines; `ours` compares ours with
it; `both` plays both in one run. `TRANSCRIPT=FILE python -m tests.transcript replay [SCENARIO...]` plays the recorded
steps of that file against ours and counts those that come out the same; TRANSCRIPT_FILES is a folder with the files
that its steps name.
"""
