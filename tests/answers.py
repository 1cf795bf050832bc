"""What dsr1 answers with --json, as its users read it."""

import json
from typing import Any


def data_of(stdout: str) -> Any:
    """The data of the one envelope that a verb prints."""
    return json.loads(stdout)["data"]


def phases_of(stdout: str) -> dict[str, str]:
    """By run, of `dsr1 ps --json`."""
    return {run["name"]: run["phase"] for run in data_of(stdout)}
