"""What `dsr1 prep` asks of the agent: probe, apply what stdin says, undo."""

import atexit
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

ROOTS_COPY = "dsr1-root-"  # the folder of what root runs, see transport/as_root.py


def run_prep_verb(verb: str) -> dict[str, object]:
    """As JSON carries it. An apply goes on without who asked for it: nothing is printed before its
    end."""
    if (own := Path(sys.argv[0]).parent).name.startswith(ROOTS_COPY):
        atexit.register(shutil.rmtree, own, ignore_errors=True)
    if verb == "probe":
        from dsr1.hosts.agent.prep.probe import probe_host

        return asdict(probe_host())
    if verb == "undo":
        from dsr1.hosts.agent.prep.undo import undo

        return asdict(undo())
    from dsr1.hosts.agent.prep.apply import apply
    from dsr1.hosts.protocol.plain import parse_json
    from dsr1.hosts.protocol.prep import PrepSteps

    return asdict(apply(parse_json(PrepSteps, sys.stdin.read())))
