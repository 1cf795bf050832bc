"""The layout of the four source roots: one namespace, typed, and small files."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOTS = ("launcher", "slurm", "hosts", "env")
LONGEST = 300


@pytest.mark.parametrize("root", ROOTS)
def test_the_namespace_has_no_init(root: str) -> None:
    """With one, the first root on the path hides the others, while mypy still passes."""
    assert (REPOSITORY / root / "dsr1").is_dir()
    assert not (REPOSITORY / root / "dsr1" / "__init__.py").exists()


@pytest.mark.parametrize("root", ROOTS)
def test_each_package_is_typed(root: str) -> None:
    assert (REPOSITORY / root / "dsr1" / root / "py.typed").is_file()


@pytest.mark.parametrize("root", ROOTS)
def test_no_file_is_long(root: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (REPOSITORY / root).rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST} == {}
