"""What ninja remembers of a build, moved to another time.

FlashInfer runs ninja at every start. An object that travelled is older than headers that were
installed on its new host later, so ninja would build it again (minutes of nvcc) although nothing
has changed. Sources of the formats: ninja's build_log.cc (version 5 to 7) and deps_log.cc (version
4).
"""

import struct

DEPS = b"# ninjadeps\n"
DEPS_VERSION = 4
IS_DEPS = 1 << 31


def refresh_log(text: str, now_ns: int) -> str:
    """.ninja_log with every entry as old as `now_ns`: start, end, mtime, output, hash, apart by
    tabs."""
    return "".join(_refresh_entry(line, now_ns) for line in text.splitlines(keepends=True))


def _refresh_entry(line: str, now_ns: int) -> str:
    parts = line.split("\t")
    if line.startswith("#") or len(parts) != 5 or not parts[2].isdigit():
        return line
    return "\t".join((*parts[:2], str(now_ns), *parts[3:]))


def refresh_deps(data: bytes, now_ns: int) -> bytes:
    """.ninja_deps with every record as old as `now_ns`. Of another version, or broken: as it is;
    ninja then builds."""
    start = len(DEPS) + 4
    if not data.startswith(DEPS) or data[len(DEPS) : start] != struct.pack("<i", DEPS_VERSION):
        return data
    out, at = bytearray(data), start
    while at + 4 <= len(out):
        (head,) = struct.unpack_from("<I", out, at)
        size = head & ~IS_DEPS
        if head & IS_DEPS and size >= 12 and at + 4 + size <= len(out):
            struct.pack_into("<Q", out, at + 8, now_ns)
        at += 4 + size
    return bytes(out)
