"""A plan as a bash script, for those who start its processes by hand: it needs neither dsr1 nor
agents. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.hosts.protocol.process import HostPlan, Process, SecretVariable
from dsr1.launcher.commands.etcd import ETCD_FILE
from dsr1.launcher.commands.secrets import (
    API_KEY,
    CA,
    CERT,
    FRONTEND_KEY,
    KEY,
    SECRETS_FOLDER,
    SERVER_NAME,
)
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.render_text import in_a_line, join_words, quote_word

_REST = Path(__file__).with_name("by_hand.sh")


def render_bash(plan: Plan, folder: str) -> str:
    """`folder` is the one that the plan was made for: on every host its files and logs lie
    there."""
    names = ",".join(_alternatives(plan)) if _is_secured(plan) else ""
    return "\n".join(
        (
            "#!/bin/bash",
            *(f"# {in_a_line(line)}" for line in _head(plan, folder)),
            "# shellcheck disable=SC2016,SC2329",
            "set -euo pipefail",
            f"folder={quote_word(folder)}",
            f"grace={max(process.grace_s for process in plan.processes):.0f} # seconds",
            f"names={quote_word(names)} # in the certificate",
            "",
            *_become(plan),
            "",
            *_begin(plan),
            "",
            _REST.read_text(),
        )
    )


def _is_one_machine(plan: Plan) -> bool:
    return len({host.address for host in plan.hosts}) == 1


def _is_secured(plan: Plan) -> bool:
    return not {CA, CERT, KEY}.isdisjoint(_named_secrets(plan))


def _named_secrets(plan: Plan) -> set[str]:
    return {secret.file for process in plan.processes for secret in process.secrets}


def _frontend_files(plan: Plan) -> Iterator[str]:
    """What nobody but the user can give."""
    if plan.service.secured:
        yield from (FRONTEND_CERT, FRONTEND_KEY)
    if API_KEY in _named_secrets(plan):
        yield API_KEY


def _head(plan: Plan, folder: str) -> Iterator[str]:
    """How it is used, as far as this plan has a use for it."""
    hosts, process = [host.host for host in plan.hosts], plan.processes[-1].name
    yield (
        f"{plan.run}: {len(plan.processes)} processes of the recipe {plan.recipe}, rendered by"
        " dsr1."
    )
    if _is_secured(plan):
        yield (
            "  bash run.sh --certificates    first, on one host; each needs the same"
            f" {folder}/secrets"
        )
    if files := tuple(_frontend_files(plan)):
        yield f"  {folder}/secrets holds {', '.join(files)}, of mode 0600, put there by you"
    if any(process.argv[0] == ETCD_FILE for process in plan.processes):
        yield f"  ETCD=/path/of/etcd            for {hosts[0]}, where etcd isn't on PATH"
    if _is_one_machine(plan):
        yield "  bash run.sh                   all of them"
    else:
        yield (
            f"  bash run.sh HOST              its part, on each host: {' '.join(hosts)}; default:"
            " by its own name"
        )
    yield f"  bash run.sh --process {process:<7} one alone, in sight"
    yield (
        "Ctrl-C ends all that it started, and so does the end of any of that; of other hosts it"
        " sees nothing."
    )
    yield f"Logs: {folder}/hosts/HOST/PROCESS.log, anew with every start."
    yield f"{plan.service.url}/v1 serves once every worker has registered."
    yield from (f"note: {note}" for note in plan.notes)


def _become(plan: Plan) -> Iterator[str]:
    yield "become() { # one process, in the place of this shell"
    yield "    case $1 in"
    for process in plan.processes:
        yield f"    {process.name})"
        yield f"        enter hosts/{process.host}"
        if any(word.startswith(f"{SECRETS_FOLDER}/") for word in process.argv):
            yield '        ln -sfn "$folder/secrets" secrets'
        yield from (f"        {line}" for line in _environment(process))
        yield f"        exec {_command(process.argv)}"
        yield "        ;;"
    yield (
        "    *) fail \"no process '$1', there are:"
        f' {" ".join(process.name for process in plan.processes)}" ;;'
    )
    yield "    esac"
    yield "}"


def _environment(process: Process) -> Iterator[str]:
    if process.argv[0] == ETCD_FILE:
        yield (
            'etcd=$(command -v "${ETCD:-etcd}") || fail "wanted: etcd on PATH, or'
            ' ETCD=/path/of/etcd"'
        )
        yield f'ln -sf "$etcd" {ETCD_FILE}'
    yield from (
        f"export {v.name}={_assigned(v.value)} # {in_a_line(v.source)}" for v in process.env
    )
    for secret in process.secrets:
        yield from _secret(secret)


def _assigned(value: str) -> str:
    """`A==x` is right, and looks like a slip."""
    return (
        f"'{value}'" if value.startswith("=") and quote_word(value) == value else quote_word(value)
    )


def _secret(secret: SecretVariable) -> tuple[str, ...]:
    file = f"$folder/secrets/{secret.file}"
    if secret.as_path:
        return (f"export {secret.name}={file}",)
    return (f'{secret.name}=$(<"{file}")', f"export {secret.name}")


def _command(argv: Sequence[str]) -> str:
    """A line for each option."""
    lines: list[list[str]] = [[]]
    for word in argv:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(word)
    return " \\\n            ".join(map(join_words, lines))


def _begin(plan: Plan) -> Iterator[str]:
    yield "begin() { # what runs on a host, in the order of its start"
    yield "    case $1 in"
    if _is_one_machine(plan):
        yield "    *)"
        yield "        fresh discovery"
        yield from (f"        {line}" for line in _part(plan, plan.hosts))
    else:
        for host in plan.hosts:
            yield f"    {host.host} | {host.host}.*)"
            yield from (f"        {line}" for line in _part(plan, (host,)))
        yield (
            "    *) fail \"no host '$1', there are:"
            f' {" ".join(host.host for host in plan.hosts)}" ;;'
        )
    yield "    esac"
    yield "}"


def _part(plan: Plan, hosts: Sequence[HostPlan]) -> Iterator[str]:
    """What listens is waited for, wherever it runs, before what comes later is started."""
    yield from (f"fresh hosts/{host.host}" for host in hosts)
    addresses = {host.host: host.address for host in plan.hosts}
    awaited: set[str] = set()
    for process in sorted(
        (p for host in hosts for p in host.processes), key=lambda process: process.wave
    ):
        for other in plan.processes:
            if other.listen_port and other.wave < process.wave and other.name not in awaited:
                awaited.add(other.name)
                yield f"await {addresses[other.host]} {other.listen_port} # {other.name}"
        yield f"start hosts/{process.host} {process.name}"
    yield ";;"


def _alternatives(plan: Plan) -> Iterator[str]:
    yield f"DNS:{SERVER_NAME}"
    yield from dict.fromkeys(_alternative(host.address) for host in plan.hosts)


def _alternative(address: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(address)}"
    except ValueError:
        return f"DNS:{address}"
