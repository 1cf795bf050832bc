"""Whether the installed packages are of the versions that they ask of each other, by their own
metadata."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dsr1.env.checks.judging import UnknownFact, Verdict, known, pass_if, skipped
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.protocol.facts.fact import Facts


def pins(facts: Facts, requirements: Requirements) -> Verdict:
    """All of the plan's pairs of distribution and dependency."""
    if not requirements.pins:
        return skipped("no package of the plan asks for versions of others")
    installed, metadata = known(facts, "software"), known(facts, "software.wishes")
    unread = {name for name, _ in requirements.pins if not metadata.get(name)}
    if unread:
        raise UnknownFact(f"no metadata of {', '.join(sorted(unread))}")
    wanted = {
        (name, dependency): specifiers_for(metadata[name], dependency)
        for name, dependency in requirements.pins
    }
    good = all(_meets(installed.get(pair[1]), specifiers) for pair, specifiers in wanted.items())
    return pass_if(
        good,
        "FAIL",
        ", ".join(f"{name} {installed.get(name, 'not installed')}" for _, name in wanted),
        "; ".join(_describe(*pair, specifiers) for pair, specifiers in wanted.items()),
        "Install the version that is asked for, or use another runtime.",
    )


def _describe(name: str, dependency: str, specifiers: list[str]) -> str:
    return f"{dependency} {', '.join(specifiers) or 'of any version'} (asked for by {name})"


def specifiers_for(metadata: Mapping[str, Any], dependency: str) -> list[str]:
    """What the distribution asks of the dependency: always, and under the extra of that name; else
    under any extra."""
    name = canonicalize_name(dependency)
    requirements = [Requirement(line) for line in metadata["requires"] if _name_of(line) == name]
    extras = metadata["extras"]
    named = [extra for extra in extras if canonicalize_name(extra) == name]
    applying = _applying(requirements, named) or _applying(requirements, extras)
    return sorted({str(one.specifier) for one in applying if one.specifier})


def _name_of(line: str) -> str:
    """Of a requirement; most of a distribution's are for others, and reading them whole takes
    long."""
    return canonicalize_name(re.match(r"[\w.-]*", line)[0])  # type: ignore[index]


def _applying(requirements: Iterable[Requirement], extras: list[str]) -> list[Requirement]:
    return [one for one in requirements if _applies(one, extras)]


def _applies(requirement: Requirement, extras: list[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _meets(version: str | None, specifiers: list[str]) -> bool:
    if version is None:
        return False
    return all(SpecifierSet(one).contains(version, prereleases=True) for one in specifiers)
