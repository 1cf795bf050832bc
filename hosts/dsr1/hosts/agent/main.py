"""The agent's own command line: start, attach, end and look, each for one folder.

A verb imports what it needs: the bundle's modules are compiled anew at every call.
"""

import argparse
import json
import select
import sys
from collections.abc import Callable
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("start", "attach", "end", "look", "see", "logs", "doors"):
        verbs.add_parser(verb).add_argument("folder", type=lambda text: Path(text).absolute())
    verbs.choices["attach"].add_argument("--since", type=int, default=0)
    verbs.choices["see"].add_argument("--peer", default="")
    return parser


def _start(folder: Path) -> int:
    from dsr1.hosts.agent.daemon import StartError, start
    from dsr1.hosts.wire import parse_start

    try:
        print(start(*parse_start(sys.stdin.buffer.read()), folder), flush=True)
    except (StartError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _attach(folder: Path, since: int) -> int:
    from dsr1.hosts.agent import control
    from dsr1.hosts.agent.bridge import bridge

    line = control.connect(folder)
    if line is None:
        print(f"no agent listens in {folder}", file=sys.stderr)
        return 1
    with line:
        bridge(line, since)
    return 0


def _logs(folder: Path) -> int:
    """JSON lines of [process, line], followed for as long as stdin stays open."""
    from dsr1.hosts.log_lines import read_logs

    for process, line in read_logs(folder, lambda: not select.select([0], [], [], 0)[0]):
        print(json.dumps([process, line]), flush=True)
    return 0


def _end(folder: Path) -> int:
    from dsr1.hosts.agent.offline import end
    from dsr1.hosts.wire import render_gone

    gone = end(folder)
    sys.stdout.write(render_gone(gone).decode())
    return 1 if gone.left else 0


def _look(folder: Path) -> int:
    from dsr1.hosts.agent.offline import look

    return _tell(look(folder))


def _see(peer: str) -> int:
    from dsr1.hosts.agent.seen import look_around

    return _tell(look_around(peer))


def _doors(folder: Path) -> int:
    from dsr1.hosts.agent.doors import open_doors

    return _tell(open_doors(folder))


def _tell(value: object) -> int:
    print(json.dumps(value))
    return 0


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    verbs: dict[str, Callable[[], int]] = {
        "start": lambda: _start(args.folder),
        "attach": lambda: _attach(args.folder, args.since),
        "end": lambda: _end(args.folder),
        "look": lambda: _look(args.folder),
        "see": lambda: _see(args.peer),
        "doors": lambda: _doors(args.folder),
        "logs": lambda: _logs(args.folder),
    }
    return verbs[args.verb]()
