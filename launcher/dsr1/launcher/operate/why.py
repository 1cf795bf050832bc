"""Why a run failed: from the evidence that was taken then, else from the logs that it left."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.run.evidence import gather_from_hosts, judge_evidence, read_evidence
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.folder import planned_ranks, read_addresses, read_folder
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.table import load_rules


@dataclass(frozen=True, slots=True)
class Explanation:
    """`cause` None: nothing that was found says why. `source`: where the evidence is from."""

    cause: Cause | None
    evidence: Mapping[str, HostEvidence]
    source: str


def explain_folder(folder: Path) -> Explanation:
    """Logs that somebody sent, or an unpacked bundle. InputError: there are none."""
    if evidence := read_evidence(Run(folder)):
        return Explanation(find_cause(evidence, load_rules(), {}), evidence, str(folder))
    evidence = read_folder(folder, planned_ranks(folder))
    cause = find_cause(evidence, load_rules(), read_addresses(folder))
    return Explanation(cause, evidence, str(folder))


def explain_run(run: Run) -> Explanation:
    """A run that has not failed is asked on its hosts now: a hang shows there."""
    if evidence := read_evidence(run):
        ailing = run.state().ailing
        return Explanation(judge_evidence(evidence, run.plan(), ailing), evidence, "the failure")
    state = run.state()
    if state.phase == "stopped":
        return Explanation(None, {}, f"{run.name} was stopped ({state.reason})")
    if not state.ended and run.is_planned():
        evidence = gather_from_hosts(backend_of(run).transport(run), run.plan(), hang=True)
        cause = judge_evidence(evidence, run.plan(), state.ailing)
        return Explanation(cause, evidence, "its hosts, now")
    try:
        return explain_folder(run.folder)
    except InputError:
        why = state.reason or "it says nothing of a failure"
        raise LaunchFailed(f"{run.name}: no evidence was taken and no log is here: {why}") from None
