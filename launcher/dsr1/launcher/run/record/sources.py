"""Where each value of a run's recipe came from, as its launch read it. Values change afterwards;
what they were then is kept beside, so that nothing is said of another."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.plain import parse_json
from dsr1.launcher.run.folder import RunFolder, read_own_file

FILE = "recipe-sources.json"


@dataclass(frozen=True, slots=True)
class ValueSource:
    """`value`: as JSON; `source`: `r1.yaml:12`, `--set`, the site's file."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class RecipeSources:
    """By dotted keys. What isn't here, where anything is, is a default of dsr1's."""

    keys: dict[str, ValueSource]


def save_sources(run: RunFolder, sources: Mapping[str, ValueSource]) -> None:
    """A full disk costs them, and nothing else."""
    with contextlib.suppress(OSError):
        if sources:
            text = json.dumps(asdict(RecipeSources(dict(sources))), indent=1)
            write_file(run.folder / FILE, text.encode())


def read_sources(run: RunFolder) -> dict[str, ValueSource]:
    """Empty: nobody wrote them. ValueError: they can't be read."""
    try:
        return parse_json(RecipeSources, read_own_file(run.folder / FILE)).keys
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{run.folder / FILE}: can't be read: {error}") from None
