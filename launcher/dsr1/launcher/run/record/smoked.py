"""The last smoke test of a run, kept in its folder for its report."""

import contextlib
import json
from dataclasses import asdict

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.plain import parse_json
from dsr1.launcher.run.folder import RunFolder, read_own_file

FILE = "smoke.json"


@dataclass(frozen=True, slots=True)
class SmokedRank:
    """`error` is empty where it answered; `first_token_s` is the slowest of its answers."""

    rank: str
    error: str = ""
    first_token_s: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class SmokeRecord:
    """`time`: seconds since the epoch; `verdict`: what was proven; `problems`: else."""

    time: float
    verdict: str = ""
    problems: tuple[str, ...] = ()
    ranks: tuple[SmokedRank, ...] = ()


def save_smoke(run: RunFolder, record: SmokeRecord) -> None:
    """A full disk costs it, and nothing else."""
    with contextlib.suppress(OSError):
        write_file(run.folder / FILE, json.dumps(asdict(record)).encode())


def read_smoke(run: RunFolder) -> SmokeRecord | None:
    """None: it was never asked so. ValueError: it can't be read."""
    try:
        return parse_json(SmokeRecord, read_own_file(run.folder / FILE))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{run.folder / FILE}: can't be read: {error}") from None
