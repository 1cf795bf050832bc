"""Reads what a host's preparation touches. Needs no privileges, changes nothing."""

import contextlib
import grp
import os
import pwd
import resource
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.facts.fabric.pci import NVIDIA_VENDOR
from dsr1.hosts.agent.facts.gpu.devices import list_gpus
from dsr1.hosts.agent.facts.gpu.driver import PEERMEM, parse_driver, parse_params
from dsr1.hosts.agent.facts.gpu.nvml import ask_nvml
from dsr1.hosts.agent.facts.reading.children import PATH, begin_in_child
from dsr1.hosts.agent.facts.system import parse_meminfo, parse_modules
from dsr1.hosts.agent.prep.command import RunCommand, run_command
from dsr1.hosts.agent.prep.files import to_text
from dsr1.hosts.agent.prep.journal import JournalStore
from dsr1.hosts.protocol.facts.adapters import has_dma_buf
from dsr1.hosts.protocol.facts.fact import reason_of
from dsr1.hosts.protocol.prep import (
    Driver,
    FileState,
    Gpus,
    HostProbe,
    Memory,
    PrepJournal,
    Session,
    SystemdUnit,
)

ROOT = Path("/")
MELLANOX, GPU_CLASSES, NET_CLASSES = "0x15b3", ("0x0300", "0x0302"), ("0x0200", "0x0207")
READ_IN = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
DROP_INS = ("modprobe.d", "modules-load.d", "sysctl.d")
UNITS = ("ssh", "sshd", "slurmd", "nvidia-persistenced")
SINGLE = (
    "proc/cmdline",
    "etc/modules",
    "etc/sysctl.conf",
    "etc/fstab",
    "etc/security/limits.conf",
    "etc/ssh/sshd_config",
    "etc/slurm/slurm.conf",
)
FOLDERS = ("etc/security/limits.d", "etc/ssh/sshd_config.d")
SYSCTLS = (
    "kernel.numa_balancing",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "fs.nr_open",
)
TOOLS = ("update-initramfs", "dracut", "nvidia-smi", "modprobe", "systemctl", "mount", "nft")
FAMILIES = {"debian": {"debian", "ubuntu"}, "rhel": {"rhel", "fedora", "centos"}}
MOST = 2**20  # of a file's bytes
QUICK_S = 10.0
AskGpus = Callable[[], Iterable[Any]]


def run_quick(argv: Sequence[str]) -> str:
    return run_command(argv, QUICK_S)


def probe_host(
    root: Path = ROOT, run: RunCommand = run_quick, nvml: AskGpus = ask_nvml
) -> HostProbe:
    system, family = parse_release(
        _text(root / "etc/os-release") or _text(root / "usr/lib/os-release")
    )
    release = _text(root / "proc/sys/kernel/osrelease").strip()
    loaded, available = _modules(root, release)
    journal, problem = _journal(root)
    return HostProbe(
        system=system,
        family=family,
        session=_session(),
        memory=_memory(root),
        gpus=_gpus(root, nvml),
        driver=_driver(root),
        adapters=_on_bus(root, MELLANOX, NET_CLASSES),
        loaded=loaded,
        available=available,
        files=tuple(_files(root)),
        sysctls=tuple(_sysctls(root)),
        services=tuple(_services(root, run)),
        tools=tuple(tool for tool in TOOLS if shutil.which(tool, path=_search_path(root))),
        read_only=tuple(_read_only(root)),
        journal=journal,
        journal_problem=problem,
    )


def parse_release(text: str) -> tuple[str, str]:
    """os-release: the system's name, and whose tools it has: debian, rhel or neither."""
    pairs = (line.partition("=") for line in text.splitlines())
    fields = {name: value.strip("\"'") for name, _, value in pairs}
    kin = {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}
    family = next((name for name, members in FAMILIES.items() if kin & members), "")
    return fields.get("PRETTY_NAME") or fields.get("ID") or "an unknown system", family


def _session() -> Session:
    uid, env = os.getuid(), os.environ
    try:
        account = pwd.getpwuid(uid)
        user, ids = account.pw_name, os.getgrouplist(account.pw_name, account.pw_gid)
    except KeyError:
        user, ids = str(uid), os.getgroups()
    origin = "slurm" if "SLURM_JOB_ID" in env else "ssh" if "SSH_CONNECTION" in env else "shell"
    return Session(user, uid, tuple(_group_names(ids)), origin, *_limits())


def _limits() -> tuple[int, int, int]:
    """memlock, nofile, nproc; the hard one of files, since vLLM raises its soft one itself."""
    wanted = (resource.RLIMIT_MEMLOCK, 0), (resource.RLIMIT_NOFILE, 1), (resource.RLIMIT_NPROC, 0)
    memlock, nofile, nproc = (resource.getrlimit(kind)[side] for kind, side in wanted)
    return memlock, nofile, nproc


def _group_names(ids: list[int]) -> Iterator[str]:
    for gid in ids:
        with contextlib.suppress(KeyError):
            yield grp.getgrgid(gid).gr_name


def _memory(root: Path) -> Memory:
    total = parse_meminfo(_text(root / "proc/meminfo")).get("MemTotal", 0)
    try:
        shm = os.statvfs(root / "dev/shm")
    except OSError:
        return Memory(total, 0)
    return Memory(total, shm.f_blocks * shm.f_frsize)


def _gpus(root: Path, nvml: AskGpus) -> Gpus:
    count = _on_bus(root, NVIDIA_VENDOR, GPU_CLASSES)
    if not count:
        return Gpus(0)
    try:
        gpus = list_gpus(begin_in_child(nvml, QUICK_S)())
        return Gpus(count, tuple(int(gpu["persistence"]) for gpu in gpus))
    except (OSError, ValueError, TypeError, KeyError) as error:
        return Gpus(count, (), f"NVML does not have it: {error}")


def _on_bus(root: Path, vendor: str, classes: tuple[str, ...]) -> int:
    devices = root.glob("sys/bus/pci/devices/*")
    return sum(
        _text(one / "vendor").strip() == vendor and _text(one / "class").startswith(classes)
        for one in devices
    )


def _driver(root: Path) -> Driver:
    driver = root / "proc/driver/nvidia"
    params = parse_params(_text(driver / "params"))
    wanted = tuple(
        (name, params[name]) for name in ("EnableStreamMemOPs", "RegistryDwords") if name in params
    )
    try:
        is_open = parse_driver(_text(driver / "version"))["open"] is True
    except (ValueError, LookupError):
        is_open = False
    dma_buf = has_dma_buf(is_open, _text(root / "proc/sys/kernel/osrelease"))
    return Driver(wanted, dma_buf, any((root / path).exists() for path in PEERMEM))


def _modules(root: Path, release: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Loaded or built in, and those that modprobe can load into the running kernel."""
    folder = root / "lib/modules" / release
    built_in = set(_module_names(_text(folder / "modules.builtin")))
    there = {path.name for path in root.glob("sys/module/*")}
    loaded = built_in | there | set(parse_modules(_text(root / "proc/modules")))
    wanted = (
        "nvidia",
        "nvidia_uvm",
        "gdrdrv",
        "nvidia_peermem",
        "mlx5_ib",
        "ib_uverbs",
        "rdma_ucm",
    )
    available = set(_module_names(_text(folder / "modules.dep", 2**24)))
    return tuple(n for n in wanted if n in loaded), tuple(n for n in wanted if n in available)


def _module_names(text: str) -> Iterator[str]:
    """modules.dep and modules.builtin: `updates/dkms/gdrdrv.ko.zst: ...`."""
    for line in text.splitlines():
        yield line.partition(":")[0].rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def _files(root: Path) -> Iterator[FileState]:
    """Every file that may configure what is prepared, those that aren't there too."""
    units = [f"systemd/system/{unit}.service" for unit in UNITS]
    folders = [*FOLDERS, *_below(READ_IN, [*DROP_INS, *(f"{unit}.d" for unit in units)])]
    files = [root / name for name in (*SINGLE, *_below(READ_IN, units))]
    for folder in folders:
        files += sorted((root / folder).glob("*.conf"))
    for path in files:
        yield probe_file(path, f"/{path.relative_to(root)}")


def _below(folders: Iterable[str], names: Sequence[str]) -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in names]


def probe_file(path: Path, name: str) -> FileState:
    """A link keeps its target, with the text there: readers of configuration follow it."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = str(path.readlink())
            return FileState(name, "link", _text(path) if path.is_file() else "", target=target)
        if not stat.S_ISREG(mode):
            return FileState(name, "folder" if stat.S_ISDIR(mode) else "other")
        if path.stat().st_size > MOST:
            return FileState(name, "file", problem=f"it has more than {MOST} bytes")
        return FileState(name, "file", to_text(path.read_bytes()))
    except FileNotFoundError:
        return FileState(name, "absent")
    except OSError as error:
        return FileState(name, "file", problem=reason_of(error))


def _text(path: Path, most: int = MOST) -> str:
    """Empty where it can't be read."""
    try:
        with path.open("rb") as file:
            return to_text(file.read(most))
    except OSError:
        return ""


def _sysctls(root: Path) -> Iterator[tuple[str, str]]:
    for name in SYSCTLS:
        with contextlib.suppress(OSError):
            yield name, (root / "proc/sys" / name.replace(".", "/")).read_text().strip()


def _services(root: Path, run: RunCommand) -> Iterator[SystemdUnit]:
    for unit in UNITS:
        if any((root / above / f"systemd/system/{unit}.service").exists() for above in READ_IN):
            enabled, active = (
                not run(("systemctl", word, f"{unit}.service"))
                for word in ("is-enabled", "is-active")
            )
            yield SystemdUnit(unit, enabled, active)


def _search_path(root: Path) -> str:
    return ":".join(str(root / folder.lstrip("/")) for folder in PATH.split(":"))


def _read_only(root: Path) -> Iterator[str]:
    for folder in ("etc", "var/lib"):
        with contextlib.suppress(FileNotFoundError):
            if os.statvfs(root / folder).f_flag & os.ST_RDONLY:
                yield f"/{folder}"


def _journal(root: Path) -> tuple[PrepJournal, str]:
    """And why it can't be read: one that is spoilt is not an empty one."""
    try:
        return JournalStore(root).read(), ""
    except (OSError, ValueError) as error:
        return PrepJournal(), str(error)
