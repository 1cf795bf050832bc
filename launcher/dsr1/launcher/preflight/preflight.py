"""Facts from every host of a recipe at once, and what the checks say of them."""

from collections.abc import Sequence
from difflib import get_close_matches

from dsr1.env.checks.all import IDS, TAKES_TIME, run_checks, worst_first
from dsr1.env.findings import folded, unreached
from dsr1.hosts.errors import CheckFailed, InputError
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.transport.parallel import answered, failed, raise_all
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.commands.dynamo_versions import RUNTIME
from dsr1.launcher.preflight import connectivity, fabric_report, runtime_checks
from dsr1.launcher.preflight.draft import Draft
from dsr1.launcher.preflight.requirements import make_requirements
from dsr1.launcher.preflight.survey_result import Survey

CHECKS = (*IDS, *runtime_checks.IDS, connectivity.CHECK, fabric_report.CHECK)


def extras_of(ids: Sequence[str]) -> tuple[str, ...]:
    """What the checks need beside facts: answers of the runtime (at first an import of vLLM),
    connections tried."""
    tried = tuple(check for check in (connectivity.CHECK, *TAKES_TIME) if check in ids)
    return (RUNTIME, *tried) if set(runtime_checks.IDS) & set(ids) else tried


def judge_survey(survey: Survey, ids: Sequence[str]) -> list[Finding]:
    """The facts of the hosts, each and together, and the draft on them. Worst first."""
    draft, facts = survey.draft, survey.facts_of_hosts
    if draft is None:
        raise ValueError("nobody was asked: there is nothing to judge")
    connections = (
        connectivity.judge_connectivity(survey.hosts, facts) if connectivity.CHECK in ids else ()
    )
    runtimes = runtime_checks.judge_runtimes(draft, facts, ids)
    return worst_first([*judge_facts(draft, facts, ids), *runtimes, *connections])


def judge_facts(draft: Draft, facts_by_host: FactsByHost, ids: Sequence[str]) -> list[Finding]:
    """A host that can't be reached is a finding; the others are judged all the same."""
    lost = [unreached(host, error) for host, error in failed(facts_by_host).items()]
    return [*lost, *run_checks(answered(facts_by_host), make_requirements(draft), ids)]


def choose_checks(only: Sequence[str], skip: Sequence[str]) -> tuple[str, ...]:
    """Ids of checks; `ib` means all of `ib.*`. InputError for a word that is none.

    Those that take time must be asked for.
    """
    for word in (*only, *skip):
        if not _named_by(word):
            raise InputError(f"{word!r} is no check{_near(word)}; docs/checks.md has them all")
    usual = [name for name in CHECKS if name not in TAKES_TIME]
    chosen = _named_by(*only) if only else usual
    skipped = _named_by(*skip)
    return tuple(name for name in CHECKS if name in chosen and name not in skipped)


def _near(word: str) -> str:
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in CHECKS))
    near = get_close_matches(word, [*kinds, *CHECKS], n=4)
    own = [name for name in CHECKS if name.partition(".")[0] == word.partition(".")[0]]
    if near:
        return f" (did you mean {' or '.join(near)}?)"
    return f"; of its kind there are {', '.join(own)}" if own else f"; kinds are {', '.join(kinds)}"


def _named_by(*words: str) -> set[str]:
    return {name for word in words for name in CHECKS if f"{name}.".startswith(f"{word}.")}


def failed_checks(survey: Survey, ids: Sequence[str]) -> list[Finding]:
    """What would end a launch on these hosts."""
    return [finding for finding in judge_survey(survey, ids) if finding.verdict == "FAIL"]


def refuse_unfit(survey: Survey, ids: Sequence[str]) -> None:
    """CheckFailed naming all that fails, on all hosts; HostError when one has given no facts.
    Without checks nothing is looked at."""
    if not ids:
        return
    raise_all(survey.facts_of_hosts)
    if failed := failed_checks(survey, ids):
        remedy = (
            "`dsr1 check` shows all; --skip-check CHECK goes on without one, --no-check without any"
        )
        raise CheckFailed("\n".join((*folded(failed), remedy)))
