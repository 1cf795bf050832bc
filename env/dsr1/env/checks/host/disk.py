"""Checks of the folders that a run writes to."""

from collections.abc import Iterator, Mapping
from typing import Any

from dsr1.env.checks.judging import CheckFunction, UnknownFact, Verdict, known, skipped
from dsr1.env.checks.requirements import Requirements
from dsr1.env.findings import ORDER
from dsr1.hosts.protocol.facts.fact import Facts

GIB = 2**30
# What compilers leave on an H100 is under 100 MB; what they put aside meanwhile is more.
LEAST = 2 * GIB
FEW_INODES = 10_000
REMOTE = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "fuse", "wekafs", "cifs", "9p", "afs")


def folders(facts: Facts, requirements: Requirements) -> Verdict:
    """The worst of all: caches of compiled kernels, the temporary folder, the run's own."""
    disks = known(facts, "disks")
    if not requirements.folders:
        return skipped("the plan writes to no folder")
    sizes = requirements.folders
    problems = [
        (verdict, f"{path} {text}")
        for path, size in sizes.items()
        for verdict, text in _problems(disks[path], size)
    ]
    wanted = "; ".join(f"{path}: {size / GIB:.2g} GiB" for path, size in sizes.items())
    if not problems:
        room = "; ".join(f"{path} has {_free_space(disks[path])}" for path in sizes)
        return Verdict("PASS", room, wanted)
    seen = "; ".join(text for _, text in problems)
    verdicts = {verdict for verdict, _ in problems}
    if verdicts == {"UNKNOWN"}:
        raise UnknownFact(seen)
    worst = min(verdicts - {"UNKNOWN"}, key=ORDER.index)
    fix = (
        "Make room, or point VLLM_CACHE_ROOT, TMPDIR or HF_HOME to a local disk in the recipe's"
        " runtime.env."
    )
    return Verdict(worst, seen, wanted, fix)


def _free_space(disk: Mapping[str, Any]) -> str:
    return f"{disk['free'] / GIB:.0f} GiB free on {disk['type']}"


def _problems(disk: Mapping[str, Any], wanted: int) -> Iterator[tuple[str, str]]:
    if disk.get("problem"):
        yield "UNKNOWN", f"can't be inspected: {disk['problem']}"
        return
    free, inodes = disk["free"], disk["inodes_free"]
    if not isinstance(free, int) or not isinstance(inodes, int):
        raise TypeError(f"free is {free!r}, inodes_free {inodes!r}")
    if free < wanted:
        yield "FAIL" if free < LEAST else "WARN", f"has {_free_space(disk)}"
    if disk["inodes"] and inodes < FEW_INODES:
        yield "WARN", f"has {inodes} inodes left"
    yield from _mount_problems(disk)


def _mount_problems(disk: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not disk["writable"]:
        yield "FAIL", "can't be written to"
    if not disk["exec"]:
        yield "FAIL", "is mounted noexec: what is compiled there can't be loaded"
    if str(disk["type"]).startswith(REMOTE):
        yield "WARN", f"is on {disk['type']}: ranks wait for each other's locks there"


CHECKS: dict[str, CheckFunction] = {"disk.cache": folders}
