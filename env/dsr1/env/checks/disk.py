"""Checks of the folders that a run writes to."""

from collections.abc import Iterator

from dsr1.env.checks.judging import (
    CheckFunction,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    skipped,
)
from dsr1.hosts.protocol.fact import Facts

GIB = 2**30
LEAST = (
    2 * GIB
)  # what compilers leave on an H100 is under 100 MB, and what they put aside meanwhile is more
FEW_INODES = 10_000
REMOTE = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "fuse", "wekafs", "cifs", "9p", "afs")


def folders(facts: Facts, needs: Requirements) -> Verdict:
    """The worst of all: caches of compiled kernels, the temporary folder, the run's own."""
    disks = known(facts, "disks")
    if not needs.folders:
        return skipped("nothing is written")
    found = {path: list(_troubles(disks[path], wanted)) for path, wanted in needs.folders.items()}
    bad = [
        (verdict, f"{path} {text}")
        for path, troubles in found.items()
        for verdict, text in troubles
    ]
    wanted = "; ".join(f"{path}: {size / GIB:.2g} GiB" for path, size in needs.folders.items())
    fix = (
        "Make room, or point VLLM_CACHE_ROOT, TMPDIR or HF_HOME to a local disk in the recipe's"
        " runtime.env."
    )
    if not bad:
        return Verdict(
            "PASS", "; ".join(f"{path} {_room(disks[path])}" for path in needs.folders), wanted
        )
    unread = [text for verdict, text in bad if verdict == "UNKNOWN"]
    if len(unread) == len(bad):
        raise UnknownFact("; ".join(unread))
    worst = "FAIL" if any(verdict == "FAIL" for verdict, _ in bad) else "WARN"
    return Verdict(worst, "; ".join(text for _, text in bad), wanted, fix)


def _room(disk: dict[str, object]) -> str:
    free = disk["free"]
    assert isinstance(free, int)
    return f"{free / GIB:.0f} GiB free on {disk['type']}"


def _troubles(disk: dict[str, object], wanted: int) -> Iterator[tuple[str, str]]:
    if disk.get("problem"):
        yield "UNKNOWN", f"can't be looked at: {disk['problem']}"
        return
    free, inodes = disk["free"], disk["inodes_free"]
    if not isinstance(free, int) or not isinstance(inodes, int):
        raise TypeError(f"free is {free!r}")
    if free < wanted:
        yield "FAIL" if free < LEAST else "WARN", f"has {_room(disk)}"
    if not disk["writable"]:
        yield "FAIL", "can't be written to"
    if not disk["exec"]:
        yield "FAIL", "is mounted noexec: what is compiled there can't be loaded"
    if disk["inodes"] and inodes < FEW_INODES:
        yield "WARN", f"has {inodes} inodes left"
    if str(disk["type"]).startswith(REMOTE):
        yield "WARN", f"is on {disk['type']}: ranks wait for each other's locks there"


JUDGES: dict[str, CheckFunction] = {"disk.cache": folders}
