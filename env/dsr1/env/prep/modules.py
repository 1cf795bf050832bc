"""Kernel modules: loaded now by modprobe, and at boot by /etc/modules-load.d. Pure."""

from collections.abc import Iterator

from dsr1.env.prep.parts import (
    FileRewrite,
    PrepNote,
    PrepPart,
    file_at,
    folders_of,
    package,
    texts_below,
)
from dsr1.env.prep.texts import with_line, words_of
from dsr1.hosts.protocol.prep import CommandStep, HostProbe

OURS = "/etc/modules-load.d/dsr1.conf"


def fix_driver(seen: HostProbe) -> Iterator[PrepPart]:
    if not seen.gpus.on_bus:
        yield PrepNote("SKIP", "no NVIDIA GPU", "")
        return
    for name in ("nvidia", "nvidia_uvm"):
        fix = (
            f"{package(seen, 'nvidia-open', 'nvidia-open')} (NVIDIA's CUDA repository), then prep"
            " again"
        )
        yield from module(seen, name, "sys.modules", "CUDA stands on it", fix)


def fix_gdrcopy(seen: HostProbe) -> Iterator[PrepPart]:
    if not seen.gpus.on_bus:
        yield PrepNote("SKIP", "no NVIDIA GPU", "")
        return
    why = "GDRCopy: small copies without the driver, and IBGDA's way around missing keys"
    fix = (
        f"{package(seen, 'gdrdrv-dkms', 'gdrcopy-kmod')} (NVIDIA's CUDA repository or GDRCopy's"
        " releases)"
    )
    yield from module(seen, "gdrdrv", "ibgda.gdrcopy", why, fix)


def fix_peermem(seen: HostProbe) -> Iterator[PrepPart]:
    if not seen.gpus.on_bus or not seen.adapters:
        yield PrepNote("SKIP", "no NVIDIA GPU, or no Mellanox adapter: nothing to register", "")
    elif not seen.driver.dma_buf and not seen.driver.peermem:
        why = (
            "adapters register GPU memory through it: without the open driver and Linux 5.12 there"
            " is no dma-buf"
        )
        fix = (
            "It comes with the driver: install that again after RDMA's own packages, or take the"
            " open driver."
        )
        yield from module(seen, "nvidia_peermem", "ibgda.mem_reg", why, fix)


def fix_verbs(seen: HostProbe) -> Iterator[PrepPart]:
    if not seen.adapters:
        yield PrepNote("SKIP", "no Mellanox adapter on the PCI bus", "")
        return
    for name in ("mlx5_ib", "ib_uverbs", "rdma_ucm"):
        fix = package(seen, "rdma-core linux-modules-extra-$(uname -r)", "rdma-core kernel-modules")
        yield from module(
            seen, name, "ib.uverbs", "user programs reach the adapters through it", fix
        )


def module(seen: HostProbe, name: str, check: str, why: str, fix: str) -> Iterator[PrepPart]:
    """Loaded: whoever loaded it will do so again."""
    if name in seen.loaded:
        return
    if name not in seen.available:
        yield PrepNote(
            "WARN", f"{name} is not installed for the running kernel", f"{name}, loaded", fix
        )
        return
    if name not in configured(seen):
        yield FileRewrite(why, OURS, lambda text: with_line(text, name, rf"{name}\s*$"))
    yield CommandStep((check,), why, ("modprobe", name))


def configured(seen: HostProbe) -> set[str]:
    """`a-b` and `a_b` are one module."""
    files = [*texts_below(seen, *folders_of("modules-load.d")), file_at(seen, "/etc/modules")]
    return {words[0].replace("-", "_") for file in files for words in words_of(file.text, "#;")}
