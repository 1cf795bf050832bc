"""`dsr1 why`: the first cause of a failure, of a run or of a folder of logs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import ANSWER, iso_time
from dsr1.launcher.cli.options.common import AsJson
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.operate.why import Explanation, explain_folder, explain_run
from dsr1.launcher.triage.earlier import EarlierFailure
from dsr1.launcher.triage.render import render_why


def why(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|FOLDER]",
            help="The run's name, default: the newest run; or a folder of logs.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show why a run failed, and what to do about it.

    Names the first cause, its rank and its host, what happened in which order, and who only
    followed. Of a run that lives, its hosts are asked now: what is stopped or hangs shows there.
    """
    folder = Path(run) if run and Path(run).is_dir() else None
    found = explain_folder(folder) if folder else explain_run(find_any(run))
    if as_json:
        ANSWER.put("why", _plain(found))
    elif found.cause is None:
        print(f"{found.source}: nothing says that anything failed")
    else:
        print("\n".join(render_why(found.cause, found.evidence, found.earlier)))


def _plain(found: Explanation) -> dict[str, object] | None:
    """Of the evidence without its logs' hits, which the signs repeat."""
    if found.cause is None:
        return None
    hosts = {host: {**asdict(one), "logs": []} for host, one in found.evidence.items()}
    told = {"source": found.source, "evidence": hosts}
    return {**asdict(found.cause), **told, "earlier": [_earlier(one) for one in found.earlier]}


def _earlier(failure: EarlierFailure) -> dict[str, object]:
    times = {"began": iso_time(failure.began), "over": iso_time(failure.over)}
    return {**asdict(failure), **times}
