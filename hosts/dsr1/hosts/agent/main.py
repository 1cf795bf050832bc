"""The agent's own command line: VERB FOLDER [VALUE], spoken by dsr1's transports only.

A verb imports what it needs: the bundle's modules are compiled anew at every call, and a verb must
be quick.
"""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _start(folder: "Path") -> int:
    from dsr1.hosts.agent.server.daemon import StartError, start
    from dsr1.hosts.protocol.codec import parse_start

    try:
        print(start(*parse_start(sys.stdin.buffer.read()), folder), flush=True)
    except (StartError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _attach(folder: "Path", since: int) -> int:
    from dsr1.hosts.agent.server.bridge import bridge
    from dsr1.hosts.protocol import control

    line = control.connect_to_socket(folder)
    if line is None:
        print(f"no agent listens in {folder}", file=sys.stderr)
        return 1
    with line:
        bridge(line, since)
    return 0


def _logs(folder: "Path") -> int:
    """JSON lines of [process, text], followed for as long as stdin stays open."""
    import select

    from dsr1.hosts.protocol.log_lines import read_logs

    for process, text in read_logs(folder, lambda: not select.select([0], [], [], 0)[0]):
        print(json.dumps([process, text]), flush=True)
    return 0


def _stop(folder: "Path") -> int:
    from dsr1.hosts.agent.server.offline import stop_recorded
    from dsr1.hosts.protocol.codec import render_gone

    gone = stop_recorded(folder)
    sys.stdout.write(render_gone(gone).decode())
    return 1 if gone.left else 0


def _inspect(folder: "Path") -> int:
    from dsr1.hosts.agent.server.offline import inspect_host

    return _print(inspect_host(folder))


def _introduce(peer: str) -> int:
    from dsr1.hosts.agent.network.introduction import introduce_host

    return _print(introduce_host(peer))


def _facts(request: str) -> int:
    from dsr1.hosts.agent.facts.gather import gather_facts
    from dsr1.hosts.protocol.fact import to_plain
    from dsr1.hosts.protocol.facts_request import parse_facts_request

    return _print(to_plain(gather_facts(parse_facts_request(request))))


def _runtime() -> int:
    from dataclasses import asdict

    from dsr1.hosts.agent.runtime.runtime import ask_runtime, base_folder
    from dsr1.hosts.protocol.plain import parse_json
    from dsr1.hosts.protocol.runtime import RuntimeQuestion

    question = parse_json(RuntimeQuestion, sys.stdin.read())
    return _print(asdict(ask_runtime(question, base_folder())))


def _prep(what: str) -> int:
    from dsr1.hosts.agent.prep.verbs import run_prep_verb

    return _print(run_prep_verb(what))


def _reach() -> int:
    from dataclasses import asdict

    from dsr1.hosts.agent.network.reach import try_peers
    from dsr1.hosts.protocol.plain import parse_json
    from dsr1.hosts.protocol.reach import ReachQuestion

    return _print(asdict(try_peers(parse_json(ReachQuestion, sys.stdin.read()))))


def _listeners(folder: "Path") -> int:
    from dsr1.hosts.agent.server.listeners import open_listeners

    return _print(open_listeners(folder))


def _cache(verb: str, values: list[str]) -> int:
    from dsr1.hosts.agent.caches.verbs import run_cache_verb

    return run_cache_verb(verb, values)


def _keep(silence_s: float) -> int:
    from dsr1.hosts.agent.server.keeper import run_step_commands

    return run_step_commands(silence_s)


def _job(name: str) -> int:
    from dsr1.hosts.agent.work import run_named_job

    return run_named_job(name)


def _print(value: object) -> int:
    print(json.dumps(value))
    return 0


WITH_VALUE: dict[str, Callable[[str], int]] = {
    "introduce": _introduce,
    "facts": _facts,
    "prep": _prep,
    "job": _job,
}
WITH_FOLDER: dict[str, "Callable[[Path], int]"] = {
    "start": _start,
    "stop": _stop,
    "inspect": _inspect,
    "listeners": _listeners,
    "logs": _logs,
}
WITH_STDIN: dict[str, "Callable[[], int]"] = {"runtime": _runtime, "reach": _reach}


def main(argv: list[str] | None = None) -> int:
    """`introduce` takes the peer's address, `facts` a request, `prep` what to do, `job` its name,
    `keep` seconds.

    `attach` takes a folder and the last `seq`; `runtime` and `reach` a question on stdin; all
    others a folder.
    """
    verb, *values = sys.argv[1:] if argv is None else argv
    if verb in WITH_VALUE:
        return WITH_VALUE[verb](values[0])
    if verb.startswith("cache-"):
        return _cache(verb, values)
    if verb in WITH_STDIN:
        return WITH_STDIN[verb]()
    if verb == "keep":
        return _keep(float(values[0]))

    from pathlib import Path

    folder = Path(values[0]).absolute()
    return _attach(folder, int(values[1])) if verb == "attach" else WITH_FOLDER[verb](folder)
