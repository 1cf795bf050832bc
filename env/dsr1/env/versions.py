"""Versions of packages, and their texts as numbers that compare."""

import re

from dsr1.hosts.protocol.facts.fact import Facts, value_of


def version_numbers(text: str) -> tuple[int, ...]:
    """The first three numbers of a text; empty where it has none."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def installed_packages(facts: Facts) -> dict[str, str]:
    """Versions of the runtime's packages by name; empty: not known."""
    told = value_of(facts, "software")
    found = told.items() if isinstance(told, dict) else ()
    return {name: str(version) for name, version in found if version}
