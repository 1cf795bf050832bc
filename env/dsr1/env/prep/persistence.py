"""GPU persistence: by nvidia-persistenced where it is installed, else by nvidia-smi until the next
boot. Pure."""

from collections.abc import Iterator

from dsr1.env.prep.limits import of_unit
from dsr1.env.prep.parts import RELOAD, FileRewrite, PrepNote, PrepPart, package, service_of
from dsr1.env.prep.texts import with_line
from dsr1.hosts.protocol.prep import CommandStep, HostProbe

DAEMON, CHECK = "nvidia-persistenced", ("gpu.persistence",)
WHY = "without it the driver is initialised at every start, and loses its settings in between"
DROP_IN = f"/etc/systemd/system/{DAEMON}.service.d/dsr1.conf"
OFF, ON = "--no-persistence-mode", "--persistence-mode"


def fix_persistence(probe: HostProbe) -> Iterator[PrepPart]:
    if not probe.gpus.on_bus:
        yield PrepNote("SKIP", "no NVIDIA GPU", "")
    elif probe.gpus.problem:
        yield PrepNote(
            "UNKNOWN",
            probe.gpus.problem,
            "persistence mode on",
            "Make `nvidia-smi -q` work there first.",
        )
    elif not all(probe.gpus.persistence):
        yield from _by_daemon(probe) if service_of(probe, DAEMON) else _by_tool(probe)


def _by_daemon(probe: HostProbe) -> Iterator[PrepPart]:
    """Ubuntu's unit starts the daemon with persistence off."""
    start = of_unit(probe, DAEMON, "ExecStart", "")
    if OFF in start:
        lines = f"[Service]\nExecStart=\nExecStart={start.replace(OFF, ON)}"
        why = f"{WHY}\nits unit starts it with {OFF}"
        yield FileRewrite(why, DROP_IN, lambda text: with_line("", lines, r"(?!)"), RELOAD)
    daemon = service_of(probe, DAEMON)
    assert daemon is not None
    if not daemon.enabled:
        yield CommandStep(
            CHECK, WHY, ("systemctl", "enable", DAEMON), ("systemctl", "disable", DAEMON)
        )
    before = "restart" if daemon.active else "stop"
    yield CommandStep(CHECK, WHY, ("systemctl", "restart", DAEMON), ("systemctl", before, DAEMON))


def _by_tool(probe: HostProbe) -> Iterator[PrepPart]:
    fix = f"To keep it on: {package(probe, DAEMON, DAEMON)} (Ubuntu: nvidia-compute-utils-BRANCH)."
    if "nvidia-smi" not in probe.tools:
        yield PrepNote(
            "WARN",
            "neither nvidia-persistenced nor nvidia-smi is installed",
            "persistence mode on",
            fix,
        )
        return
    yield CommandStep(CHECK, WHY, ("nvidia-smi", "-pm", "1"), ("nvidia-smi", "-pm", "0"))
    yield PrepNote(
        "WARN", "nvidia-smi sets it only until the next boot", "nvidia-persistenced", fix
    )
