"""A page of /metrics, by Prometheus's own parser. Pure."""

from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import MOST_NUMBER, NONSENSE

LONGEST_LINE = 4096


@dataclass(frozen=True, slots=True)
class PageLine:
    """One sample; `value` is finite, and no larger than anything that is counted."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse_page(text: str) -> list[PageLine]:
    """Without what is no line of metrics (a page may be cut short, and a server may be another's),
    and what is no number (NaN is never the same)."""
    lines = [line for line in text.splitlines() if _may_be_read(line)]
    try:
        return list(_parse("\n".join(lines) + "\n"))
    except NONSENSE:
        return [one for line in lines for one in _parse_or_drop(line)]


def _may_be_read(line: str) -> bool:
    return bool(line) and line[0] != "#" and len(line) < LONGEST_LINE


def _parse(text: str) -> Iterator[PageLine]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if abs(value := float(sample.value)) <= MOST_NUMBER:  # NaN isn't
                yield PageLine(sample.name, sample.labels, value)


def _parse_or_drop(line: str) -> list[PageLine]:
    try:
        return list(_parse(line + "\n"))
    except NONSENSE:
        return []
