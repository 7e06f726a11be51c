"""Who the managers of a group are to each other: a small certificate authority, and a folder for each node."""
