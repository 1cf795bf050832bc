"""Engines by the recipe's name of them, too."""

import pytest

from dsr1.launcher.operate.changes import is_replica


@pytest.mark.parametrize(
    ("name", "engine", "is_one"),
    [
        ("main-r0", "main", True),
        ("main-r12", "main", True),
        ("main-r", "main", False),
        ("main", "main", False),
        ("main-r0", "mai", False),
        ("main-r0-r1", "main", False),
        ("a.b-r0", "a+b", False),
        ("r0", "", False),
    ],
)
def test_a_replica_has_its_engines_name(name: str, engine: str, is_one: bool) -> None:
    assert is_replica(name, engine) == is_one
