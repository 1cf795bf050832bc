"""`dsr1 init`: a site file, from what hosts and Slurm tell."""

import re
from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import HostOptions
from dsr1.launcher.site.draft import host_sets, render_site
from dsr1.launcher.site.look import HERE, look_at_slurm, look_at_slurm_if_any, survey_site
from dsr1.launcher.site.places import own_site_file


def init(
    hosts: HostOptions,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Ask Slurm, too; done anyway where there is one.")
    ] = False,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file; - is stdout; default: ~/.config/dsr1/site.yaml.",
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file if it exists.")
    ] = False,
) -> None:
    """Write a site file, so that other commands need not be told again.

    Hosts are asked for GPUs, an environment that has vLLM, and models; Slurm for its partitions and
    your accounts. Each line is explained.
    """
    if hosts.on:
        raise InputError("--on names a set that a site file has already; init takes --hosts")
    file = Path(output) if output else own_site_file()
    if output != "-":
        _refuse_overwriting(file, force)
    seen, named = survey_site(hosts.accesses()), _absolute(hosts.hosts or "")
    told = look_at_slurm() if slurm else look_at_slurm_if_any()
    text = render_site(seen, named, told)
    ANSWER.put("init", {"file": "" if output == "-" else str(file), "text": text})
    if output == "-":
        print("" if ANSWER.is_wanted else text, end="")
        return
    _write(file, text)
    on = "" if HERE in seen else f" --on {next(iter(host_sets(seen, named)))}"
    print(f"{file}: written. {_words(text)}")
    print(f"Read it, then `dsr1 check dsr1-dep{on}`")


def _words(text: str) -> str:
    """What of the site was found."""
    said = re.findall(r"^(?!schema:)([a-z_]+):", text, re.MULTILINE)
    if said:
        return f"It says what was found: {', '.join(said)}; the rest stands there in comments."
    return (
        "It says nothing yet, since neither an environment with vLLM nor a model nor Slurm was"
        " found; what it could say stands there in comments."
    )


def _absolute(hosts: str) -> str:
    """A file of hosts is found from anywhere."""
    return f"@{Path(hosts[1:]).absolute()}" if hosts.startswith("@") else hosts


def _refuse_overwriting(file: Path, force: bool) -> None:
    if file.exists() and not force:
        raise InputError(f"{file}: is there already; --force overwrites it, -o writes another")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError as error:
        raise InputError(f"{file}: can't be written: {error.strerror}") from None
