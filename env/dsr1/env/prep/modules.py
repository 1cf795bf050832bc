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


def fix_driver(probe: HostProbe) -> Iterator[PrepPart]:
    if not probe.gpus.on_bus:
        yield PrepNote("SKIP", "no NVIDIA GPU", "")
        return
    for name in ("nvidia", "nvidia_uvm"):
        fix = (
            f"{package(probe, 'nvidia-open', 'nvidia-open')} (NVIDIA's CUDA repository), then run"
            " prep again."
        )
        yield from module(probe, name, "sys.modules", "CUDA needs it", fix)


def fix_gdrcopy(probe: HostProbe) -> Iterator[PrepPart]:
    if not probe.gpus.on_bus:
        yield PrepNote("SKIP", "no NVIDIA GPU", "")
        return
    why = "GDRCopy copies without the driver, and IBGDA can use it where registry keys are missing"
    fix = (
        f"{package(probe, 'gdrdrv-dkms', 'gdrcopy-kmod')} (NVIDIA's CUDA repository or GDRCopy's"
        " releases)."
    )
    yield from module(probe, "gdrdrv", "ibgda.gdrcopy", why, fix)


def fix_peermem(probe: HostProbe) -> Iterator[PrepPart]:
    if not probe.gpus.on_bus or not probe.adapters:
        yield PrepNote("SKIP", "no NVIDIA GPU, or no Mellanox adapter: nothing to register", "")
    elif not probe.driver.dma_buf and not probe.driver.peermem:
        why = (
            "adapters register GPU memory through it: without the open driver and Linux 5.12 there"
            " is no dma-buf"
        )
        fix = (
            "It comes with the driver: reinstall the driver after the RDMA packages, or use the"
            " open driver."
        )
        yield from module(probe, "nvidia_peermem", "ibgda.mem_reg", why, fix)


def fix_verbs(probe: HostProbe) -> Iterator[PrepPart]:
    if not probe.adapters:
        yield PrepNote("SKIP", "no Mellanox adapter on the PCI bus", "")
        return
    for name in ("mlx5_ib", "ib_uverbs", "rdma_ucm"):
        fix = package(
            probe, "rdma-core linux-modules-extra-$(uname -r)", "rdma-core kernel-modules"
        )
        yield from module(
            probe, name, "ib.uverbs", "user programs reach the adapters through it", fix
        )


def module(probe: HostProbe, name: str, check: str, why: str, fix: str) -> Iterator[PrepPart]:
    """Loaded: whoever loaded it will do so again."""
    if name in probe.loaded:
        return
    if name not in probe.available:
        yield PrepNote(
            "WARN", f"{name} is not installed for the running kernel", f"{name} loaded", fix
        )
        return
    if name not in configured(probe):
        yield FileRewrite(why, OURS, lambda text: with_line(text, name, rf"{name}\s*$"))
    yield CommandStep((check,), why, ("modprobe", name))


def configured(probe: HostProbe) -> set[str]:
    """`a-b` and `a_b` are one module."""
    files = [*texts_below(probe, *folders_of("modules-load.d")), file_at(probe, "/etc/modules")]
    return {words[0].replace("-", "_") for file in files for words in words_of(file.text, "#;")}
