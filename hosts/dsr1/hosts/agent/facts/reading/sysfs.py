"""Reading sysfs: small files that may be absent, refuse to be read, or hold anything at all."""

import os
import re
from pathlib import Path

PAGE = 4096  # sysfs holds no more in a file
WHOLE = re.compile(r"-?\d{1,18}|0x[0-9a-f]{1,16}", re.IGNORECASE)
DECIMAL = re.compile(r"\d{1,9}(\.\d{1,9})?")


def read_text(file: Path) -> str:
    """Without the space around it; empty: there is nothing to be read."""
    try:
        with file.open("rb", buffering=0) as opened:
            return opened.read(PAGE).decode(errors="replace").strip()
    except OSError:
        return ""


def parse_whole(text: str) -> int | None:
    """`16`, `-1`, `0x1a`; None: it is no such number."""
    if not WHOLE.fullmatch(text):
        return None
    return int(text, 16 if text[:2].lower() == "0x" else 10)


def parse_leading(text: str) -> float | None:
    """The number that a value with a unit begins with: `400 Gb/sec (4X NDR)`, `32.0 GT/s PCIe`."""
    first = text.split(" ", 1)[0]
    return float(first) if DECIMAL.fullmatch(first) else None


def names_in(folder: Path) -> list[str]:
    """Of what lies there, sorted; none when it isn't there."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted
    except OSError:
        return []


def printable_text(name: str) -> str:
    """A name that JSON can carry: the kernel's may be any bytes."""
    return os.fsencode(name).decode(errors="replace")


def link_target(link: Path) -> str:
    """The name of what a symlink leads to; empty: it leads nowhere."""
    return printable_text(Path(os.path.realpath(link)).name) if link.exists() else ""
