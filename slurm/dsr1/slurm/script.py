"""The batch script: the spec's directives, the setup lines, and one command that becomes the batch
step. Pure."""

import shlex
from collections.abc import Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.slurm.spec import JobSpec, render_directives

_END = "RECIPE"


@dataclass(frozen=True, slots=True)
class BatchCommand:
    """What the batch step becomes: a command with its variables, and the text on its stdin."""

    argv: Sequence[str]
    env: Mapping[str, str]
    given: str


def render_script(spec: JobSpec, batch: BatchCommand, head: Sequence[str] = ()) -> str:
    """`exec`, so that a signal to the batch shell reaches the command. `head` are lines that say
    what this is."""
    if _END in batch.given.splitlines():
        raise ValueError(f"the text holds a line {_END}")
    return "\n".join(
        (
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in render_directives(spec)),
            "",
            *(f"# {line}" for line in head),
            "set -euo pipefail",
            *_lenient(spec.setup),
            *(f"export {name}={shlex.quote(value)}" for name, value in batch.env.items()),
            f"{_command(batch.argv)} <<'{_END}'",
            batch.given.rstrip("\n"),
            _END,
            "",
        )
    )


def _lenient(setup: Sequence[str]) -> Sequence[str]:
    """The hooks of modules and conda read variables that nobody has set."""
    return ("set +u", *setup, "set -u") if setup else ()


def _command(argv: Sequence[str]) -> str:
    """`$0` is the script as Slurm keeps it: the command may want to submit it again."""
    return f'exec {shlex.join(argv)} "$0"'
