"""What AIConfigurator 0.12 said of R1's times on 18 mappings of H100 and of H200, kept for where it
isn't installed."""

import json
from collections.abc import Mapping
from pathlib import Path

from dsr1.launcher.tuning.prediction.table import TimeTable

_FILE = Path(__file__).with_name("recorded.json")


def recorded_source(gpu: str) -> str:
    return f"times recorded of aiconfigurator 0.12.0, {gpu}_sxm, ISL 4000, OSL 1000"


def recorded_tables(gpu: str) -> Mapping[str, TimeTable]:
    """By a mapping's label, of R1."""
    tables = json.loads(_FILE.read_text())[gpu]
    return {label: _table(rows) for label, rows in tables.items()}


def _table(rows: Mapping[str, list[list[float]]]) -> TimeTable:
    prefill, decode = (tuple((x, y) for x, y in rows[phase]) for phase in ("prefill", "decode"))
    return TimeTable(prefill, decode)
