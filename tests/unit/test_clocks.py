"""A clock that is set ends nothing: no span of time is reckoned from the clock on the wall."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = tuple(ROOT / part for part in ("launcher", "hosts", "env", "slurm"))
WALL = {"time.time", "datetime.now", "datetime.datetime.now", "datetime.utcnow", "time.localtime"}
# What only the wall's clock can tell, and why a step of it does no harm there.
ALLOWED = {
    "prune": "ages of files, in days; the user is asked",
    "_is_recent": "the age of a file; its answer is asked for anew when the clock was set back",
    "gather_evidence": "ages of files that NCCL wrote; one too many is read, no more",
    "_before": "lines of logs are told apart by it, as by their writers' clocks",
    "seconds_since": "ages that a person is shown",
    "_by_the_wall": "a moment of the monotonic clock, told to people and beside lines of logs",
    "_builder": "certificates are good for a time on the wall",
}


def reckoned(function: ast.AST) -> Iterator[int]:
    """Lines that add, subtract or compare what a wall clock said, there or in a variable."""
    told = {name for node in ast.walk(function) for name in _told_names(node)}
    for node in ast.walk(function):
        reckons = isinstance(node, ast.BinOp | ast.Compare | ast.AugAssign)
        if reckons and any(_tells(part, told) for part in ast.iter_child_nodes(node)):
            yield getattr(node, "lineno", 0)


def _told_names(node: ast.AST) -> Iterator[str]:
    """Variables that are given a wall clock's word, one by one or several at once."""
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) or node.value is None:
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(names)
        for name, value in zip(names, values, strict=False):
            if _tells(value, set()):
                yield ast.unparse(name)


def _tells(node: ast.AST, told: set[str]) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in WALL
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in told


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for file in (file for source in SOURCES for file in sorted(source.rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield file, node


def test_spans_are_of_the_monotonic_clock() -> None:
    found = {
        f"{file.relative_to(ROOT)}:{line} in {function.name}"
        for file, function in functions()
        for line in reckoned(function)
        if function.name not in ALLOWED
    }
    assert found == set()


def test_every_exception_is_still_one() -> None:
    names = {function.name for _, function in functions() if list(reckoned(function))}
    assert set(ALLOWED) <= names


@pytest.mark.parametrize(
    "text",
    [
        "deadline = time.time() + 5",
        "now, other = time.time(), 0\nlate = now - since",
        "while time.time() < until: pass",
        "self.began = time.time()\ntook = x - self.began",
    ],
)
def test_what_reckons_is_seen(text: str) -> None:
    assert list(reckoned(ast.parse(text)))


def test_what_only_tells_is_not() -> None:
    assert not list(
        reckoned(ast.parse("save(State('ready', time.time()))\nd = time.monotonic() + 5"))
    )
