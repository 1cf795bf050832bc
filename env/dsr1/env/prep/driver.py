"""The driver's two registry keys that IBGDA needs, put into /etc/modprobe.d beside what is there.
Pure.

kmod reads the folders' files by name and joins all `options` of a module; of one parameter given
twice the kernel takes the last. So a key is changed where its last value stands, if in /etc, else
written to a file that comes last. `nvidia.NVreg_...` on the kernel's command line comes after all
files (probe with kmod 30): that is left to a person.
"""

import re
from collections.abc import Iterator

from dsr1.env.prep.parts import FileRewrite, PrepNote, PrepPart, file_at, folders_of, texts_below
from dsr1.env.prep.texts import with_line
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.prep import FileState, HostProbe

OURS = "/etc/modprobe.d/zz-dsr1.conf"
MEM_OPS, DWORDS, OVERRIDE = "EnableStreamMemOPs", "RegistryDwords", "PeerMappingOverride"
WHY = (
    "IBGDA rings the adapter's doorbell from the GPU, and the driver maps it there only with these"
    " keys"
)
REBUILDS = {
    "update-initramfs": ("update-initramfs", "-u", "-k", "all"),
    "dracut": ("dracut", "-f", "--regenerate-all"),
}
_LINE = re.compile(
    r"^[ \t]*options(?:[ \t]|\\\n)+nvidia(?:[ \t]|\\\n)(?:\\\n|[^\n])*", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A value that a file gives a parameter, and where in its text."""

    file: FileState
    start: int
    end: int
    value: str


def fix_regkeys(probe: HostProbe) -> Iterator[PrepPart]:
    if not probe.gpus.on_bus and not probe.driver.params:
        yield PrepNote("SKIP", "no NVIDIA GPU", "")
        return
    if not probe.adapters:
        yield PrepNote(
            "SKIP", "no Mellanox adapter on the PCI bus: nothing can leave this host by IBGDA", ""
        )
        return
    changes = [
        change
        for name in (MEM_OPS, DWORDS)
        if (change := _on_command_line(probe, name) or _rewrite(probe, name)) is not None
    ]
    yield from changes
    if changes and not fix_initramfs(probe):
        yield PrepNote(
            "WARN",
            "neither update-initramfs nor dracut is installed",
            "an initramfs with the keys",
            "Rebuild the initramfs by hand.",
        )
    yield from _reboot(probe, bool(changes))


def fix_initramfs(probe: HostProbe) -> tuple[str, ...]:
    """For every kernel: the next boot may be into another one than now runs."""
    return next((command for tool, command in REBUILDS.items() if tool in probe.tools), ())


def is_right(name: str, value: str) -> bool:
    if name == MEM_OPS:
        return re.fullmatch(r"(0x)?0*1", value) is not None
    return any(
        _key(pair) == OVERRIDE and is_right(MEM_OPS, pair.partition("=")[2].strip())
        for pair in _pairs(value)
    )


def right_value(name: str, value: str) -> str:
    """Other keys of RegistryDwords stay as they are, in their order."""
    if name == MEM_OPS:
        return "1"
    kept = [pair for pair in _pairs(value) if _key(pair) != OVERRIDE]
    return '"' + "".join(f"{pair};" for pair in [*kept, f"{OVERRIDE}=1"]) + '"'


def _pairs(value: str) -> list[str]:
    return [pair for pair in value.split(";") if pair.strip()]


def _key(pair: str) -> str:
    return pair.partition("=")[0].strip()


def find_last(files: list[FileState], name: str) -> ParameterValue | None:
    """The value that the kernel will take."""
    parameter = re.compile(
        rf'(?<=[ \t\n])(?:"NVreg_{name}=([^"\n]*)"|NVreg_{name}=(?:"([^"\n]*)"|([^\s"]*)))'
    )
    last = None
    for file in files:
        for line in _LINE.finditer(file.text):
            for found in parameter.finditer(file.text, line.start(), line.end()):
                last = ParameterValue(
                    file, found.start(), found.end(), found[1] or found[2] or found[3] or ""
                )
    return last


def _on_command_line(probe: HostProbe, name: str) -> PrepNote | None:
    """None: the kernel's command line doesn't say otherwise."""
    found = re.findall(
        rf'(?:^|\s)"?nvidia\.NVreg_{name}="?([^"\s]*)', file_at(probe, "/proc/cmdline").text
    )
    if not found or is_right(name, found[-1]):
        return None
    seen = f'nvidia.NVreg_{name}="{found[-1]}" on the kernel\'s command line'
    wanted = f"NVreg_{name}={right_value(name, found[-1])}"
    fix = "Change it in the boot loader's configuration: it overrides every file."
    return PrepNote("FAIL", seen, wanted, fix)


def _rewrite(probe: HostProbe, name: str) -> FileRewrite | None:
    """None: the next load of the module has it."""
    last = find_last(texts_below(probe, *folders_of("modprobe.d")), name)
    if last is not None and is_right(name, last.value):
        return None
    option = f"NVreg_{name}={right_value(name, last.value if last else '')}"
    if last is None or not last.file.path.startswith("/etc/"):
        return FileRewrite(WHY, OURS, lambda text: _add(text, option, name), fix_initramfs(probe))
    return FileRewrite(
        WHY,
        last.file.path,
        lambda text: _replace(text, option, name, last.file.path),
        fix_initramfs(probe),
    )


def _replace(text: str, option: str, name: str, path: str) -> str:
    """Found again: another key may have been changed before it."""
    last = find_last([FileState(path, "file", text)], name)
    return text if last is None else text[: last.start] + option + text[last.end :]


def _add(text: str, option: str, name: str) -> str:
    """One line of ours for both keys."""
    if find_last([FileState(OURS, "file", text)], name):
        return _replace(text, option, name, OURS)
    mine = [line for line in text.split("\n") if line.startswith("options nvidia ")]
    line = f"{mine[-1]} {option}" if mine else f"options nvidia {option}"
    return with_line(text, line, re.escape(mine[-1]) + "$" if mine else r"(?!)")


def _reboot(probe: HostProbe, changing: bool) -> Iterator[PrepNote]:
    loaded = dict(probe.driver.params)
    wrong = [
        name for name in (MEM_OPS, DWORDS) if loaded and not is_right(name, loaded.get(name, ""))
    ]
    if not wrong:
        return
    values = ", ".join(f'{name} "{loaded.get(name, "")}"' for name in wrong)
    fix = (
        "Reboot the host once the files are written."
        if changing
        else "Reboot the host: the files have the keys already."
    )
    yield PrepNote(
        "WARN", f"the loaded driver has {values}", "a driver loaded with the keys", fix, reboot=True
    )
