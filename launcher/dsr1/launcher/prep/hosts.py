"""Node preparation over all hosts: what each told, what was decided for it, and what its agent
reports."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from dsr1.env.prep.decide import IDS
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.plain import parse_json, to_json
from dsr1.hosts.protocol.prep import (
    HostProbe,
    PrepReport,
    PrepSteps,
)
from dsr1.hosts.transport.as_root import AS_ROOT, CAREFULLY
from dsr1.hosts.transport.base import AgentVerb, Transport, read_answer
from dsr1.hosts.transport.parallel import run_on_all, run_parallel
from dsr1.launcher.layout.placement import wanted_nodes
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.preflight.survey_result import named_host
from dsr1.launcher.recipe.models import Recipe

PROBE_S, APPLY_S = 60.0, 1800.0
ROOT_BY = (
    "Allow sudo without a password there (NOPASSWD), or log in as root (`user: root` in an"
    " inventory)"
)
JOURNAL_BACK = (
    "Nothing will be changed or undone there until that file is repaired, from a backup or by hand"
)
PrepT = TypeVar("PrepT")


def probe_all(transport: Transport, hosts: Sequence[str]) -> dict[str, HostProbe | HostError]:
    """A host whose journal can't be read is an error: what was done to it can neither be undone nor
    continued."""

    def probe(host: str) -> HostProbe:
        found = _ask(
            transport, host, AgentVerb("prep", ("probe",), PROBE_S, by=CAREFULLY), HostProbe
        )
        if found.journal_problem:
            raise HostError(
                f"{host}: what dsr1 changed there is unknown: {found.journal_problem}."
                f" {JOURNAL_BACK}"
            )
        return found

    return run_on_all(probe, hosts)


def apply_to_all(
    transport: Transport, steps: Mapping[str, PrepSteps]
) -> dict[str, PrepReport | HostError]:
    """Only the hosts that have steps are asked, and become root."""

    def apply(host: str) -> PrepReport:
        given = to_json(steps[host])
        return _ask(transport, host, _as_root("apply", given), PrepReport)

    return run_parallel(apply, {host: host for host, wanted in steps.items() if wanted})


def undo_on_all(
    transport: Transport, probes: Mapping[str, HostProbe]
) -> dict[str, PrepReport | HostError]:
    """Only the hosts on which something was done are asked."""

    def undo(host: str) -> PrepReport:
        return _ask(transport, host, _as_root("undo"), PrepReport)

    return run_parallel(undo, {host: host for host, one in probes.items() if one.journal})


def _as_root(what: str, given: bytes = b"") -> AgentVerb:
    return AgentVerb("prep", (what,), APPLY_S, given, by=AS_ROOT)


def _ask(transport: Transport, host: str, verb: AgentVerb, kind: type[PrepT]) -> PrepT:
    answer = transport.run_verb(host, verb)
    if answer.code != 0 and verb.by == AS_ROOT and "sudo" in answer.last_lines:
        why = f"nothing was changed, since this needs root ({answer.last_lines})"
        raise HostError(f"{host}: {why}. {ROOT_BY}")
    return read_answer(host, answer, partial(parse_json, kind), "its agent could not prepare it")


def choose_parts(only: Sequence[str]) -> tuple[str, ...]:
    """Parts by the checks that they mend; `ibgda` means all of `ibgda.*`. InputError for a word
    that names none."""

    def matches(word: str, name: str) -> bool:
        return name == word or name.startswith(f"{word.rstrip('.')}.")

    for word in only:
        if not any(matches(word, name) for name in IDS):
            raise InputError(
                f"--only {word!r}: prep mends no such check; it mends {', '.join(sorted(IDS))}"
            )
    return tuple(name for name in IDS if not only or any(matches(word, name) for word in only))


def prep_ports(recipe: Recipe, accesses: Sequence[Access]) -> tuple[int, ...]:
    """Of all hosts together, since any may lead next time."""
    plan = preparation_plan(recipe, accesses)
    return tuple(sorted({port for process in plan.processes for port in process.ports}))


def preparation_plan(recipe: Recipe, accesses: Sequence[Access]) -> Plan:
    """Of a run on these hosts; those that the recipe wants beyond them count, too."""
    given = [named_host(access) for access in accesses]
    others = (
        Host(f"other{number}", f"other{number}")
        for number in range(len(given), wanted_nodes(recipe))
    )
    return make_plan(recipe, (*given, *others), "prep", "/")
