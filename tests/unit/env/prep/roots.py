"""A host's file tree below a folder, as its agent finds it: a Debian or a RHEL form, with GPUs and
adapters or without.

Nothing of this machine is looked at or touched but its own limits; commands are noted, and what
they do is played.
"""

import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dsr1.env.prep.decide import IDS, Preparation, decide
from dsr1.hosts.agent.prep.apply import apply
from dsr1.hosts.agent.prep.probe import probe_host
from dsr1.hosts.agent.prep.undo import undo
from dsr1.hosts.protocol.prep import HostProbe, Memory, PrepReport, Session

KERNEL = "6.8.0-60-generic"
PORTS = (8000, 20003)
GIB = 2**30
RELEASES = {
    "debian": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nID_LIKE=debian\n',
    "rhel": 'PRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
}
TOOLS = {"debian": "usr/sbin/update-initramfs", "rhel": "usr/bin/dracut"}
SSHD = {"debian": "ssh", "rhel": "sshd"}
PERSISTENCED = (
    "/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose"
)
FILES = {
    "etc/modprobe.d/blacklist.conf": "blacklist nouveau\n",
    "etc/modprobe.d/nvidia.conf": (
        '# site\noptions nvidia NVreg_RegistryDwords="RMConnectToNbr=1;" NVreg_X=2'
    ),
    "etc/modules-load.d/site.conf": "# none\nlustre\n",
    "etc/security/limits.conf": "# nothing\n*   soft   core   0\n",
    "etc/sysctl.conf": "",
    "etc/sysctl.d/50-site.conf": "kernel.numa_balancing=1\nvm.swappiness = 1\n",
    "etc/fstab": (
        "/dev/sda1 / ext4 defaults 0 1\ntmpfs /dev/shm tmpfs defaults,size=8G,nosuid 0 0\n"
    ),
    "etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
    "usr/lib/systemd/system/nvidia-persistenced.service": (
        f"[Service]\nType=forking\nExecStart={PERSISTENCED}\n"
    ),
    "proc/sys/kernel/osrelease": f"{KERNEL}\n",
    "proc/sys/kernel/numa_balancing": "1\n",
    "proc/sys/net/ipv4/ip_local_port_range": "1024\t65535\n",
    "proc/sys/net/ipv4/ip_local_reserved_ports": "9000\n",
    "proc/sys/fs/nr_open": "1048576\n",
    "proc/sys/kernel/pid_max": "32768\n",
    "proc/sys/kernel/threads-max": "16507680\n",
    "proc/meminfo": "MemTotal: 2113458176 kB\n",
    "proc/modules": "".join(
        f"{name} 9 0 - Live 0x0\n" for name in ("nvidia", "nvidia_uvm", "mlx5_ib", "ib_uverbs")
    ),
    "proc/driver/nvidia/version": (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Release\n"
    ),
    "proc/driver/nvidia/params": 'EnableStreamMemOPs: 0\nRegistryDwords: "RMConnectToNbr=1;"\n',
    f"lib/modules/{KERNEL}/modules.dep": (
        "updates/dkms/gdrdrv.ko.zst:"
        " updates/dkms/nvidia.ko.zst\nupdates/dkms/nvidia-peermem.ko.zst:\n"
        "kernel/drivers/infiniband/core/rdma_ucm.ko.zst:\n"
    ),
    f"lib/modules/{KERNEL}/modules.builtin": "kernel/fs/ext4.ko\n",
    "sys/bus/pci/devices/0000:1b:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:1b:00.0/class": "0x030200\n",
    "sys/bus/pci/devices/0000:18:00.0/vendor": "0x15b3\n",
    "sys/bus/pci/devices/0000:18:00.0/class": "0x020700\n",
}


def write(root: Path, path: str, text: str | bytes, mode: int = 0o644) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(mode)
    return file


NEEDY = Session("ml", 1000, ("ml",), "ssh", 65536, 1024, 4096)


@dataclass
class FakeHost:
    """`ran` notes the commands; `broken` are programs that fail; limits are those of a session that
    needs more."""

    root: Path
    family: str = "debian"
    persistence: int = 0
    shm: int = 8 * GIB
    session: Session = NEEDY
    ran: list[tuple[str, ...]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    units: dict[str, set[str]] = field(default_factory=dict)

    def run(self, argv: Sequence[str]) -> str:
        if argv[0] in self.broken:
            return f"{argv[0]}: no space left"
        if argv[0] == "systemctl" and argv[1].startswith("is-"):
            return "" if argv[1] in self.units.get(argv[2], set()) else "inactive"
        self.ran.append(tuple(argv))
        self._play(tuple(argv))
        return ""

    def _play(self, argv: tuple[str, ...]) -> None:
        if argv[0] == "modprobe":
            file = self.root / "proc/modules"
            file.write_text(f"{file.read_text()}{argv[1]} 1 0 - Live 0x0\n")
        elif argv[:2] == ("systemctl", "restart"):
            self.persistence = 1
        elif argv[:2] == ("systemctl", "stop"):
            self.persistence = 0
        elif argv[0] == "mount":
            self.shm = (
                1000 * GIB
                if "50%" in argv[2]
                else int(argv[2].rpartition("=")[2].rstrip("k")) * 1024
            )

    def nvml(self) -> Iterable[Any]:
        return [{"count": 1}, {"persistence": self.persistence, "processes": []}]

    def look(self) -> HostProbe:
        seen = probe_host(self.root, self.run, self.nvml)
        return replace(seen, session=self.session, memory=Memory(seen.memory.total, self.shm))

    def decide(self, ids: Sequence[str] = IDS) -> Preparation:
        return decide("node1", self.look(), PORTS, ids)

    def apply(self, ids: Sequence[str] = IDS) -> PrepReport:
        return apply(self.decide(ids).steps, self.root, self.run)

    def undo(self) -> PrepReport:
        return undo(self.root, self.run)


def make_host(root: Path, family: str = "debian") -> FakeHost:
    for path, text in FILES.items():
        write(root, path, text)
    (root / "etc/modprobe.d/nvidia.conf").chmod(0o640)
    write(root, "etc/os-release", RELEASES[family])
    write(
        root,
        f"usr/lib/systemd/system/{SSHD[family]}.service",
        "[Service]\nExecStart=/usr/sbin/sshd -D\n",
    )
    for tool in (TOOLS[family], "usr/bin/systemctl", "usr/bin/mount", "usr/sbin/modprobe"):
        write(root, tool, "", 0o755)
    (root / "dev/shm").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    return FakeHost(root, family)


def snapshot(root: Path, *but: str) -> dict[str, tuple[object, ...]]:
    """Everything that can be told of every file; of folders all but their times."""
    return {
        str(path.relative_to(root)): _tell(path)
        for path in sorted(root.rglob("*"))
        if not _below(path, root, but)
    }


def _below(path: Path, root: Path, but: Sequence[str]) -> bool:
    return str(path.relative_to(root)).startswith(tuple(but))


def _tell(path: Path) -> tuple[object, ...]:
    seen = path.lstat()
    told = (stat.filemode(seen.st_mode), seen.st_uid, seen.st_gid)
    if path.is_symlink():
        return (*told, str(path.readlink()))
    return (*told, path.read_bytes(), seen.st_mtime_ns) if path.is_file() else told
