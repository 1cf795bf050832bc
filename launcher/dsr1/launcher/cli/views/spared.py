"""What the end of a run has left alone, for people."""

import sys
from collections.abc import Sequence


def print_spared(spared: Sequence[str]) -> None:
    """To stderr: it is none of the run's."""
    for line in spared:
        words = "has a copy of the run's environment, and wasn't started by the run: left alone"
        print(f"{line} {words}", file=sys.stderr)
