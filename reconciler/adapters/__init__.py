"""One file or folder for each outside thing. Nobody else touches it."""
