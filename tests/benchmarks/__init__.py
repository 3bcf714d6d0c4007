"""Our figures beside those of other systems, on the same work, on one machine, in one run. `make bench` runs it.

``run.py`` interleaves the rounds and writes the tables, ``ours.py`` and ``core.py`` are our side, ``peers/`` holds one
small script for each other system, which runs in an environment of its own. Nothing here is a timed test.
"""
