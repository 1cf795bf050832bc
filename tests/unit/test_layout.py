"""The layout of the four source roots: one namespace, typed, and small files."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOTS = ("launcher", "slurm", "hosts", "env")
LONGEST = 300
MOST_MODULES = 21  # and an __init__


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
    lengths = {
        path: len(path.read_text().splitlines()) for path in (REPOSITORY / root).rglob("*.py")
    }
    assert {str(path): length for path, length in lengths.items() if length > LONGEST} == {}


IN_THE_RUNTIME = (
    "runtime/child.py",
    "network/fabric_rank.py",
)  # scripts that its Python runs, beside the agent


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("room", ["agent", "protocol"])
def test_the_hosts_side_imports_the_standard_library_and_psutil_alone(room: str) -> None:
    """Nothing is installed on a host: what it runs there must do with what vLLM needs, too."""
    folder = REPOSITORY / "hosts/dsr1/hosts" / room
    allowed = {*sys.stdlib_module_names, "psutil"}
    own = (f"dsr1.hosts.{room}", "dsr1.hosts.protocol", "dsr1.hosts.dataclass")
    foreign = {
        (path.relative_to(folder).as_posix(), name)
        for path in folder.rglob("*.py")
        for name in imported(path)
        if name.partition(".")[0] not in allowed and not name.startswith(own)
    }
    assert {one for one in foreign if one[0] not in IN_THE_RUNTIME} == set()


@pytest.mark.parametrize("root", ROOTS)
def test_no_folder_is_crowded_and_each_says_what_it_holds(root: str) -> None:
    folders = {path.parent for path in (REPOSITORY / root / "dsr1").rglob("*.py")}
    for folder in folders:
        assert len(list(folder.glob("*.py"))) <= MOST_MODULES, folder
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
