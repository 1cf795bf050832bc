"""A plan for people and as JSON. Commands are quoted so that they can be pasted into a shell."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from dsr1.hosts.protocol.process import Process
from dsr1.launcher.plan.plan import Plan


def render_json(plan: Plan) -> str:
    return json.dumps(asdict(plan), indent=2)


def render_text(plan: Plan) -> str:
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield (
        f"# {plan.run}: {len(plan.processes)} processes, {len(plan.ranks)} DP ranks,"
        f" {plan.service.url}"
    )
    yield from (f"# note: {in_a_line(note)}" for note in plan.notes)
    for host in plan.hosts:
        yield f"\n# host {host.host} ({host.address})"
        for process in host.processes:
            yield from _process(process)


def in_a_line(text: str) -> str:
    """Names from a host are among it, and a name may hold anything: a comment must stay one."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _spans(ports: Sequence[int]) -> Iterator[str]:
    """`1, 3-5`: three and more that follow each other as one."""
    first = 0
    for index, port in enumerate(ports):
        if index + 1 == len(ports) or ports[index + 1] != port + 1:
            run = ports[first : index + 1]
            yield from [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
            first = index + 1


def _process(process: Process) -> Iterator[str]:
    ports = f", ports {', '.join(_spans(process.ports))}" if process.ports else ""
    yield f"\n## {process.name}: start {process.wave}{ports}"
    yield from (
        f"export {v.name}={shlex.quote(v.value)}  # {in_a_line(v.source)}" for v in process.env
    )
    yield from (
        f"# {s.name} {'is the path of' if s.as_path else 'holds'} the run's secret {s.file}"
        for s in process.secrets
    )
    yield shlex.join(process.argv)
