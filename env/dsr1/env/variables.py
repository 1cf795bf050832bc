"""Environment variables in layers: a later layer wins, and every value keeps where it came from."""

from collections.abc import Iterable, Mapping

from dsr1.hosts.protocol.process import Variable


def from_mapping(values: Mapping[str, str], source: str) -> tuple[Variable, ...]:
    """Variables of one source."""
    return tuple(Variable(name, value, source) for name, value in values.items())


def merge(*layers: Iterable[Variable]) -> tuple[Variable, ...]:
    """Defaults first, the user's last: the last value of a name wins. Sorted by name."""
    merged = {variable.name: variable for layer in layers for variable in layer}
    return tuple(merged[name] for name in sorted(merged))
