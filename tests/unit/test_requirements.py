"""What development and releases install is named by version and hash, and is what pyproject.toml
asks for."""

import re
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {"runtime": (), "dev": ("dev",), "release": ("release",)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name: str) -> dict[str, str]:
    """Version by package; every one of them has hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    pinned = [line.partition(" --hash")[0].partition(";")[0].strip() for line in lines]
    assert all(line.count("==") == 1 for line in pinned)
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in pinned}


@pytest.mark.parametrize("name", LOCKS)
def test_all_that_is_asked_for_is_locked(name: str) -> None:
    extras = [PROJECT["optional-dependencies"][extra] for extra in LOCKS[name]]
    found = locked(name)
    for text in (*PROJECT["dependencies"], *(one for extra in extras for one in extra)):
        wanted = Requirement(text)
        assert wanted.specifier.contains(found[canonicalize_name(wanted.name)]), text


def test_what_runs_is_bounded_from_below() -> None:
    """So that the lowest versions can be tried: make test-versions."""
    for text in PROJECT["dependencies"]:
        assert any(one.operator == ">=" for one in Requirement(text).specifier), text


def test_the_development_environment_is_made_of_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert makefile.count("--require-hashes --requirement requirements/") == 3
