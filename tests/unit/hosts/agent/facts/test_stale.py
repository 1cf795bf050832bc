"""What runs left in /dev/shm: by what it takes of the memory, and not what a process still maps."""

import mmap
import os
from pathlib import Path

from dsr1.hosts.agent.facts.disks import find_stale

LARGE = 64 * 2**20


def left(shm: Path, name: str, holes: int = 0, data: int = 0) -> Path:
    file = shm / name
    with file.open("wb") as out:
        out.truncate(holes)
        if data:
            os.posix_fallocate(out.fileno(), 0, data)
    return file


def test_files_that_are_mostly_holes_are_nothing(tmp_path: Path) -> None:
    left(tmp_path, "psm_a", holes=100 * LARGE)
    left(tmp_path, "psm_b", holes=100 * LARGE, data=4096)
    left(tmp_path, "mine", data=LARGE)
    assert find_stale(tmp_path) == {"files": 0, "bytes": 0}


def test_what_a_process_maps_is_in_use(tmp_path: Path) -> None:
    gone = left(tmp_path, "psm_a", holes=2 * LARGE, data=LARGE).stat().st_blocks * 512
    used = left(tmp_path, "nccl-b", data=LARGE)
    both = gone + used.stat().st_blocks * 512
    assert find_stale(tmp_path) == {"files": 2, "bytes": both}
    with used.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        assert find_stale(tmp_path) == {"files": 1, "bytes": gone}
