"""The agent's own command line: VERB FOLDER [VALUE], spoken by dsr1's transports only.

A verb imports what it needs: where its Python is of another version than the launching one, the
bundle's modules are compiled anew at every call, and a verb must be quick.
"""

import gc
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from dsr1.hosts.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from dsr1.hosts.protocol.marks import AgentIdentity


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Of which agent a verb speaks: every order carries the run's identity."""

    folder: "Path"
    identity: "AgentIdentity"


def _start(address: AgentAddress) -> int:
    from dsr1.hosts.agent.server.adoption import StartError, adopt_marks
    from dsr1.hosts.protocol.codec import parse_start

    try:
        given = sys.stdin.buffer.read()
        start_order = parse_start(given)
        if start_order.plan.identity != address.identity or not address.identity.run_id:
            raise StartError("the order and its plan are of different runs")
        adopt_marks(start_order.plan, address.folder, given)  # begins anew, once
        from dsr1.hosts.agent.server.daemon import start

        print(start(start_order, address.folder), flush=True)
    except (StartError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _attach(address: AgentAddress, since: int) -> int:
    from dsr1.hosts.agent.server.bridge import bridge
    from dsr1.hosts.protocol import control

    line = control.connect_to_socket(address.identity)
    if line is None:
        print(f"no agent of this run listens for {address.folder}", file=sys.stderr)
        return 1
    with line:
        bridge(line, since)
    return 0


def _logs(address: AgentAddress) -> int:
    """JSON lines of [process, text], followed for as long as stdin stays open."""
    import select

    from dsr1.hosts.protocol.log_lines import read_logs

    def follow() -> bool:
        return not select.select([0], [], [], 0)[0]

    for process, text in read_logs(address.folder, follow):
        print(json.dumps([process, text]), flush=True)
    return 0


def _stop(address: AgentAddress, reason: str) -> int:
    from dsr1.hosts.agent.server.offline import stop_host
    from dsr1.hosts.protocol.codec import render_gone

    gone = stop_host(address.folder, address.identity, reason)
    sys.stdout.write(render_gone(gone).decode())
    return 1 if gone.left else 0


def _inspect(address: AgentAddress) -> int:
    from dsr1.hosts.agent.server.offline import inspect_host

    return _print(inspect_host(address.folder, address.identity))


def _kept(address: AgentAddress) -> int:
    from dsr1.hosts.agent.server.offline import read_kept

    return _print(read_kept(address.folder, address.identity))


def _keep_files(address: AgentAddress) -> int:
    from dsr1.hosts.agent.server.offline import write_kept
    from dsr1.hosts.protocol.plain import parse_json

    files = parse_json(dict[str, str], sys.stdin.buffer.read())
    return _print(write_kept(address.folder, address.identity, files))


def _own_words(address: AgentAddress) -> int:
    from dsr1.hosts.agent.evidence.own_words import read_own_words

    return _print(read_own_words(address.folder))


def _runs() -> int:
    from dsr1.hosts.agent.server.found import list_host_runs

    return _print(list_host_runs())


def _introduce(peer: str) -> int:
    from dsr1.hosts.agent.network.introduction import introduce_host

    return _print(introduce_host(peer))


def _facts(request: str) -> int:
    from dsr1.hosts.agent.facts.gather import gather_facts
    from dsr1.hosts.protocol.facts.fact import to_plain
    from dsr1.hosts.protocol.facts.request import parse_facts_request

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


def _listeners(address: AgentAddress) -> int:
    from dsr1.hosts.agent.server.listeners import open_listeners

    return _print(open_listeners(address.identity))


def _evidence(address: AgentAddress) -> int:
    from dataclasses import asdict

    from dsr1.hosts.agent.evidence.gather import gather_evidence
    from dsr1.hosts.protocol.evidence import EvidenceRequest
    from dsr1.hosts.protocol.plain import parse_json

    request = parse_json(EvidenceRequest, sys.stdin.buffer.read())
    return _print(asdict(gather_evidence(request, address.identity.host, address.folder)))


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
OF_AN_AGENT: dict[str, Callable[[AgentAddress], int]] = {
    "start": _start,
    "inspect": _inspect,
    "listeners": _listeners,
    "logs": _logs,
    "kept": _kept,
    "keep-files": _keep_files,
    "own-words": _own_words,
    "evidence": _evidence,
}
WITHOUT_VALUE: dict[str, "Callable[[], int]"] = {
    "runtime": _runtime,
    "reach": _reach,
    "runs": _runs,
}


def main(argv: list[str] | None = None) -> int:
    """`introduce` takes the peer's address, `facts` a request, `prep` what to do, `job` its name,
    `keep` seconds.

    `runtime` and `reach` take a question on stdin, `runs` nothing; all others a folder, the run's
    identity and the host's name in its plan; `attach` also the last `seq`, and `stop` why;
    `evidence` a request on stdin.
    """
    gc.set_threshold(50_000, 10, 10)  # a verb's imports make many objects, and no garbage
    verb, *values = sys.argv[1:] if argv is None else argv
    if verb in WITH_VALUE:
        return WITH_VALUE[verb](values[0])
    if verb.startswith("cache-"):
        return _cache(verb, values)
    if verb in WITHOUT_VALUE:
        return WITHOUT_VALUE[verb]()
    if verb == "keep":
        return _keep(float(values[0]))
    address, more = _address(*values[:3]), "".join(values[3:])
    if verb == "attach":
        return _attach(address, int(more))
    return _stop(address, more) if verb == "stop" else OF_AN_AGENT[verb](address)


def _address(folder: str, run_id: str, host: str) -> AgentAddress:
    from pathlib import Path

    from dsr1.hosts.protocol.marks import AgentIdentity

    return AgentAddress(Path(folder).absolute(), AgentIdentity(run_id, host))
