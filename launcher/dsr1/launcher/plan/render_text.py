"""A plan for people. Commands are quoted so that they can be pasted into a shell."""

import shlex
from collections.abc import Iterator, Sequence

from dsr1.hosts.inventory.names import counted, fold_names
from dsr1.hosts.protocol.process import Process
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.terminal import escape_text


def render_text(plan: Plan) -> str:
    return "\n".join(_lines(plan))


def render_summary(plan: Plan) -> str:
    """On one screen, however many hosts: those that run the same are on one line."""
    by_kind: dict[tuple[str, ...], list[str]] = {}
    for host in plan.hosts:
        by_kind.setdefault(tuple(map(_kind, host.processes)), []).append(host.host)
    kinds = (f"{_folded(hosts)}: {', '.join(kind)}" for kind, hosts in by_kind.items())
    ranks, hosts = f"{len(plan.ranks)} DP ranks", f"{len(plan.hosts)} hosts"
    count = f"{len(plan.processes)} processes, {ranks} on {hosts}"
    where = f"{plan.service.url}/v1 is to serve {plan.service.model}"
    notes = (f"note: {in_a_line(note)}" for note in plan.notes)
    return "\n".join((f"{plan.run}: {count}; {where}", *kinds, *notes))


def _kind(process: Process) -> str:
    """A worker without its number: its ranks say more."""
    if not process.ranks:
        return process.name
    name = process.name.rpartition("-")[0] or process.name
    return f"{name} ({counted(len(process.ranks), 'rank')}, {_ports(process)})"


def _ports(process: Process) -> str:
    return f"ports {min(process.ports)}-{max(process.ports)}" if process.ports else "no ports"


def _folded(hosts: Sequence[str]) -> str:
    """`node[01-16]`."""
    many = f" ({len(hosts)} hosts)" if len(hosts) > 1 else ""
    return f"{fold_names(hosts)}{many}"


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


def quote_word(text: str) -> str:
    """For bash, as it is and without a control character in it: what is printed is also run."""
    if escape_text(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(map(_ansi_c, text)) + "'"


def _ansi_c(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


def join_words(words: Sequence[str]) -> str:
    return " ".join(map(quote_word, words))


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
        f"export {v.name}={quote_word(v.value)}  # {in_a_line(v.source)}" for v in process.env
    )
    yield from (
        f"# {s.name} {'is the path of' if s.as_path else 'holds'} the run's secret {s.file}"
        for s in process.secrets
    )
    yield join_words(process.argv)
