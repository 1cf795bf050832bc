"""What `dsr1 prep` asks of the agent: probe, apply what stdin says, undo."""

import json
import sys
from dataclasses import asdict


def run_prep_verb(verb: str) -> dict[str, object]:
    """As JSON carries it. An apply goes on without who asked for it: nothing is printed before its
    end."""
    if verb == "probe":
        from dsr1.hosts.agent.prep.look import probe_host

        return asdict(probe_host())
    if verb == "undo":
        from dsr1.hosts.agent.prep.undo import undo

        return asdict(undo())
    from dsr1.hosts.agent.prep.apply import apply
    from dsr1.hosts.protocol.prep import parse_steps

    return asdict(apply(parse_steps(json.load(sys.stdin))))
