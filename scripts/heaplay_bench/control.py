"""The A/A control of programs and micro-benchmarks: glibc a second time, and what it says about the others' differences."""

NAME = "glibc-again"


def floor(found):
    """How far apart glibc and its control are, `found` being their ratio or None: nothing nearer is called a difference."""
    return max(found.ratio, 1 / found.ratio) - 1 if found else 0.0


def mark(found, floor_, name):
    """A star for a ratio that this run shows to differ from 1."""
    return "*" if found.claimed and floor(found) > floor_ and name != NAME else " "
