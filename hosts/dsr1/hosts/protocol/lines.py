"""Lines from blocks of bytes, as a stream gives them."""

from collections.abc import Iterable, Iterator

BLOCK = 1 << 16


def split_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Without their ends; a last line without an end was cut short, and is no line."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
