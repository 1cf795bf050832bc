"""The fenced blocks of README.md and docs/ that a shell would read, and what the page says of how
each is tried.

The line before a block is one of
    <!-- run -->               a test runs it, as it stands
    <!-- run by FILE -->       that script or test runs the same
    <!-- needs a cluster -->   or GPUs, Slurm, a hub, root: it can't be run by a test
    <!-- no shell -->          it only looks like it
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = ("", "sh", "bash", "shell", "console")
MARK = re.compile(r"<!-- (run|run by (?P<file>\S+)|needs .+|no shell) -->")
FENCE = re.compile(r"^ *(```+|~~~+) *(?P<language>\S*)")


@dataclass(frozen=True, slots=True)
class Block:
    """`mark` is empty where the page says nothing."""

    page: str
    line: int
    mark: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shell_blocks(page: Path) -> Iterator[Block]:
    return read_blocks(page.relative_to(ROOT).as_posix(), page.read_text())


def read_blocks(name: str, text: str) -> Iterator[Block]:
    lines, before, number = text.splitlines(), "", 0
    while number < len(lines):
        line = lines[number]
        if fence := FENCE.match(line):
            end = next(
                (n for n in range(number + 1, len(lines)) if lines[n].strip() == fence[1]),
                len(lines),
            )
            if fence["language"] in SHELL:
                yield Block(name, number + 1, _mark(before), "\n".join(lines[number + 1 : end]))
            number = end
        if line.strip():
            before = line
        number += 1


def _mark(line: str) -> str:
    found = MARK.fullmatch(line.strip())
    return found[1] if found else ""
