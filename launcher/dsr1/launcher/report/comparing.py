"""What differs between two runs. Pure."""

from collections.abc import Iterator, Mapping

import yaml

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.report.contents import ReportPage

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    what: str
    one: str
    other: str


def differences(one: ReportPage, other: ReportPage) -> tuple[Difference, ...]:
    tables = (
        ("", dict(one.summary), dict(other.summary)),
        ("start, ", _phases(one), _phases(other)),
        ("over time, ", _last(one), _last(other)),
        ("output tokens/s, ", _measured(one), _measured(other)),
        ("version, ", dict(one.versions), dict(other.versions)),
        ("recipe, ", _values(one), _values(other)),
        ("variable, ", _variables(one), _variables(other)),
    )
    return tuple(row for table in tables for row in _differing(*table))


def _differing(
    prefix: str, one: Mapping[str, str], other: Mapping[str, str]
) -> Iterator[Difference]:
    for name in dict.fromkeys((*one, *other)):
        values = (one.get(name, NOTHING), other.get(name, NOTHING))
        if values[0] != values[1]:
            yield Difference(prefix + name, *values)


def _phases(page: ReportPage) -> dict[str, str]:
    phases = page.timeline.phases if page.timeline else {}
    return {name: f"{seconds:.1f} s" for name, seconds in phases.items()}


def _last(page: ReportPage) -> dict[str, str]:
    return {
        f"{chart.title}, {line.name}, at its highest": f"{chart.highest:.4g} {chart.unit}".strip()
        for chart in page.charts
        for line in chart.lines[:1]
    }


def _measured(page: ReportPage) -> dict[str, str]:
    """The newest of each load."""
    return {load: pace for table in reversed(page.measured) for load, pace in table.loads.items()}


def _values(page: ReportPage) -> dict[str, str]:
    return dict(_leaves(yaml.safe_load(page.recipe), "")) if page.recipe else {}


def _leaves(value: object, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{at}.{key}" if at else str(key))
    else:
        yield at, str(value)


def _variables(page: ReportPage) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for one in page.variables:
        values = found.setdefault(one.name, [])
        if one.value not in values:
            values.append(one.value)
    return {name: ", ".join(values) for name, values in found.items()}
