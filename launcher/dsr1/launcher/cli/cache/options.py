"""Options that the verbs of `dsr1 cache` share."""

from typing import Annotated

import typer

Root = Annotated[
    str,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="The caches' folder on the hosts (runtime.cache_dir); default: one in /var/tmp.",
    ),
]
Python = Annotated[
    str,
    typer.Option("--python", metavar="PYTHON", help="The Python that runs the agent on the hosts."),
]
CacheKeys = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY", help="Keys of caches, as `dsr1 cache ls` lists them."),
]
