"""What Kubernetes puts into a text before a process gets it, and what others fill in before
Kubernetes. Pure."""

import re
from collections.abc import Mapping

from dsr1.launcher.importing.shell.expansion import LONGEST_TEXT


def expand_kubernetes(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' own expansion of $(NAME) from a container's variables; $$ is a dollar.

    Raises ValueError where it grows beyond what a process can be given.
    """
    room = LONGEST_TEXT

    def put(match: re.Match[str]) -> str:
        nonlocal room
        value = "$" if match[0] == "$$" else variables.get(match[1], match[0])
        room -= len(value)
        if room < 0:
            raise ValueError(f"it grows beyond {LONGEST_TEXT} bytes")
        return value

    return re.sub(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)", put, text)


def placeholders(text: str) -> tuple[str, ...]:
    """${NAME}, which something fills in before Kubernetes reads it; Kubernetes itself does not."""
    return tuple(re.findall(r"\$\{\w+\}", text))


def unfit(text: str) -> str:
    """Why a text can't be an argument or a variable of a process on Linux; nothing where it can."""
    if "\0" in text:
        return "a NUL byte"
    return f"more than {LONGEST_TEXT} bytes" if len(text.encode()) >= LONGEST_TEXT else ""
