"""Options that the verbs of `dsr1 model` share."""

from typing import Annotated

import typer

AgentVenv = Annotated[
    str,
    typer.Option(
        "--venv", metavar="FOLDER", help="An environment on the hosts; default: their python3."
    ),
]


def python_of(venv: str) -> str:
    return f"{venv.rstrip('/')}/bin/python" if venv else "python3"
