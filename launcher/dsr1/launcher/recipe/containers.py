"""Processes in containers aren't there yet: what would be one is refused in words that say so,
wherever in a command it is named. Pure."""

import re

PROGRAMS = (
    "apptainer", "singularity", "docker", "podman", "podman-hpc", "nerdctl", "enroot", "shifter",
    "sarus", "udocker", "systemd-nspawn", "kubectl", "crictl", "runc",
    "ch-run",  # Charliecloud
)  # fmt: skip
_BETWEEN_WORDS = re.compile(r"[\s'\"`\\;|&()<>{}$=]+")
_OPTION = re.compile(r"--(container|image)(-.*)?")  # pyxis, Slurm's own, shifter's
NOT_YET = (
    "processes in containers aren't there yet: name a Python that has vLLM on the hosts"
    " themselves, or venv"
)


def container_problem(command: str) -> str:
    """Also behind other words, `env A=1 apptainer exec ...`, and inside of quotes. Empty: it runs
    nothing in one."""
    words = _BETWEEN_WORDS.split(command)
    found = [word for word in words if word.rpartition("/")[2] in PROGRAMS]
    found += [word for word in words if _OPTION.fullmatch(word)]
    return f"{command!r}: {NOT_YET} ({found[0]})" if found else ""
