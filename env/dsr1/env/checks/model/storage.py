"""Checks of where the model is read from: its file system, the page cache, room for a download."""

from dsr1.env.checks.judging import CheckFunction, Verdict, known, pass_if, skipped
from dsr1.env.checks.model.files import (
    GB,
    file_size,
    files_of,
    for_local_model,
    hub_id_to_download,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.protocol.facts.fact import Facts

# vLLM prefetches from these by itself (model_loader/weight_utils.py).
PREFETCHED = ("nfs", "nfs4", "lustre")
REMOTE = ("fuse", "beegfs", "gpfs", "ceph", "wekafs")
CACHED = 0.9  # of the memory: vLLM prefetches no more
LARGE = 50 * GB
HUB_BYTES = {
    f"deepseek-ai/DeepSeek-{name}": 689 * GB for name in ("R1", "R1-0528", "V3", "V3-0324", "V3.1")
}
DOWNLOAD_ROOM = 1.1


def file_system(facts: Facts, requirements: Requirements) -> Verdict:
    """vLLM reads ahead by itself from NFS and Lustre alone, and only what 90 % of the memory can
    hold."""
    fs, size = known(facts, "model.fs"), file_size(files_of(facts))
    prefetched = fs["type"] in PREFETCHED
    seen = f"{fs['type']} ({fs['source']} at {fs['mount']}), {size / GB:.1f} GB"
    if not prefetched and not fs["type"].startswith(REMOTE):
        return Verdict("PASS", seen, "a disk of this host")
    fix = "`dsr1 model push` copies it to a disk of each host;"
    if not prefetched:
        fix += " until then, args: {safetensors-load-strategy: prefetch} reads ahead;"
    fix += " enable-ep-weight-filter reads a rank's part only."
    wanted = "a disk of this host, for a model of this size"
    return pass_if(size <= LARGE, "WARN", seen, wanted, fix)


def page_cache(facts: Facts, requirements: Requirements) -> Verdict:
    """Every rank of a host reads the same files: the first from the disk, the others from memory if
    that holds them."""
    size, memory = file_size(files_of(facts)), known(facts, "memory.available")
    seen = f"{size / GB:.1f} GB of model, {memory / GB:.1f} GB of memory available"
    fix = (
        "Each rank will read the disk again, and vLLM won't prefetch. End what uses the memory, or"
        " read only a rank's own experts: args: {enable-ep-weight-filter: true}."
    )
    wanted = f"a model that fits in {CACHED:.0%} of the available memory"
    return pass_if(size <= CACHED * memory, "WARN", seen, wanted, fix)


def download(facts: Facts, requirements: Requirements) -> Verdict:
    hub_id = hub_id_to_download(facts)
    if not hub_id:
        return skipped("nothing to download")
    if hub_id not in HUB_BYTES:
        return skipped(f"the size of {hub_id} is not known here")
    cache, wanted = known(facts, "hub.cache"), DOWNLOAD_ROOM * HUB_BYTES[hub_id]
    return pass_if(
        cache["free"] >= wanted,
        "FAIL",
        f"{cache['free'] / GB:.0f} GB free at {cache['path']}",
        f"{wanted / GB:.0f} GB",
        "Free some, set HF_HUB_CACHE to a larger disk, or `dsr1 model fetch --to` one.",
    )


CHECKS: dict[str, CheckFunction] = {
    "model.fs": for_local_model(file_system),
    "model.cache": for_local_model(page_cache),
    "disk.download": download,
}
