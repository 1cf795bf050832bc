"""Whether a model is whole on every host, and the same on all of them."""

from collections.abc import Sequence
from dataclasses import replace

from dsr1.env.checks.all import run_checks
from dsr1.env.checks.comparing import FactsOfHosts
from dsr1.env.checks.requirements import Requirements
from dsr1.env.findings import unreached
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.jobs.orders import VERIFY, VerifyOrder, VerifyResult
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.jobs import JobResults, OnJobProgress, run_job_on_all
from dsr1.hosts.transport.parallel import answered, failed

CHECKS = (
    "model.dir",
    "model.shards",
    "model.incomplete",
    "model.tokenizer",
    "model.same",
    "model.hash",
)


def verify_model(
    model: str, accesses: Sequence[Access], python: str, deep: bool, show: OnJobProgress
) -> list[Finding]:
    """Worst first. A host that can't be reached is a finding among the others."""
    if not model:
        raise InputError("MODEL: must be its folder on every host, or a hub's id: OWNER/NAME")
    with connect_hosts(accesses, python) as (transport, hosts):
        orders = dict.fromkeys(hosts, VerifyOrder(model, deep))
        return judge_model(run_job_on_all(transport, VERIFY, orders, show))


def judge_model(results: JobResults[VerifyResult]) -> list[Finding]:
    lost = [unreached(host, error) for host, error in failed(results).items()]
    site = {host: result.facts for host, result in answered(results).items()}
    return [
        *lost,
        *(
            _strict(finding, site)
            for finding in run_checks(site, Requirements(0, len(results)), CHECKS)
        ),
    ]


def _strict(finding: Finding, site: FactsOfHosts) -> Finding:
    """A model that would only be downloaded, or can't be told whole, may do for a launch; here that
    is the question."""
    absent = finding.check == "model.dir" and site[finding.host]["model.folder"].value is None
    return replace(finding, verdict="FAIL") if absent or finding.verdict == "UNKNOWN" else finding
