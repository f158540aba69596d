"""Data sets: boxes, the one layout that everything reads, and what brings data into it."""
