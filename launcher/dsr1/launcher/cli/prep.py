"""`dsr1 prep`: what would make hosts fit, shown; done with --apply; taken back with --undo."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from dsr1.env.prep.decide import Preparation, decide
from dsr1.env.prep.firewall import CHECK
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.names import counted
from dsr1.hosts.protocol.prep import HostProbe, PrepReport
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.parallel import answered, failed
from dsr1.launcher.cli.options.common import AsJson, HostOptions
from dsr1.launcher.cli.options.recipe import RecipeOptions
from dsr1.launcher.cli.views.prep_dialog import PrepDialog
from dsr1.launcher.prep.firewall import decide_firewall
from dsr1.launcher.prep.hosts import (
    apply_to_all,
    choose_parts,
    prep_ports,
    probe_all,
    undo_on_all,
)
from dsr1.launcher.prep.render import (
    fold_hosts,
    group_hosts,
    render_end,
    render_host_group,
    render_journal,
    render_report,
)

UNFIT, FAILED = 3, 4


def prep(
    recipe: RecipeOptions,
    hosts: HostOptions,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CHECK",
            help="Mend only this check or kind: ibgda, sys.shm; may be repeated.",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do what is shown.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo everything that --apply did.")] = False,
    firewall: Annotated[
        bool,
        typer.Option(
            "--firewall", help="Only this: close the run's ports to all but its hosts, by nft."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go on without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what would make every host fit, and do it.

    Shows file by file what would change, and why. --apply does it, --undo takes it back. Nothing is
    rebooted.
    """
    if undo and (apply or only or firewall):
        others = "--apply, --only or --firewall"
        raise InputError(f"--undo undoes everything, so it can't go with {others}")
    if firewall and only:
        raise InputError("--firewall does nothing else, so it can't go with --only")
    dialog = PrepDialog(as_json, yes)
    if apply or undo:
        dialog.refuse_unattended()
    loaded, accesses = recipe.load(elsewhere=hosts.named), hosts.accesses()
    ids, ports = choose_parts(only or ()), prep_ports(loaded, accesses)
    with connect_hosts(accesses, loaded.runtime.interpreter) as (transport, names):
        probes, unreached = _split(probe_all(transport, names))
        if undo:
            outcome = _undo(transport, probes, dialog)
        else:
            if firewall:
                ids, decided = (CHECK,), decide_firewall(transport, loaded, accesses, probes)
            else:
                decided = {host: decide(host, one, ports, ids) for host, one in probes.items()}
            _show(decided, probes, ids, dialog)
            reports = _apply(transport, probes, decided, dialog) if apply else {}
            outcome = _conclude(decided, reports, apply, dialog)
    dialog.end(outcome.plain, unreached)
    raise typer.Exit(_exit_code(outcome, unreached))


ReportsByHost = Mapping[str, PrepReport | HostError]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """`plain` is JSON's, by host. `hindered`: something that is wanted can't be done there."""

    plain: dict[str, object]
    reports: ReportsByHost
    hindered: bool = False


def _split(
    results: Mapping[str, HostProbe | HostError],
) -> tuple[dict[str, HostProbe], dict[str, str]]:
    """Hosts that answered, and why the others didn't."""
    return answered(results), {host: str(one) for host, one in failed(results).items()}


def _show(
    decided: Mapping[str, Preparation],
    probes: Mapping[str, HostProbe],
    ids: tuple[str, ...],
    dialog: PrepDialog,
) -> None:
    for group in group_hosts(decided, {host: one.system for host, one in probes.items()}):
        dialog.show(render_host_group(group, ids))


def _apply(
    transport: Transport,
    probes: Mapping[str, HostProbe],
    decided: Mapping[str, Preparation],
    dialog: PrepDialog,
) -> ReportsByHost:
    steps = {host: one.steps for host, one in decided.items() if one.steps}
    if not steps:
        return {}
    dialog.confirm(f"Change {counted(len(steps), 'host')}?")
    return apply_to_all(transport, steps)


def _conclude(
    decided: Mapping[str, Preparation], reports: ReportsByHost, apply: bool, dialog: PrepDialog
) -> _Outcome:
    dialog.show(_report_lines(reports, "done"))
    dialog.show(render_end(decided, apply))
    plain = {host: _json_host(one, reports.get(host)) for host, one in decided.items()}
    return _Outcome(plain, reports, any(one.hindered for one in decided.values()))


def _undo(transport: Transport, probes: Mapping[str, HostProbe], dialog: PrepDialog) -> _Outcome:
    changed = {host: one for host, one in probes.items() if one.journal}
    for hosts, journal in fold_hosts({host: one.journal for host, one in changed.items()}):
        dialog.show(render_journal(hosts, journal))
    reports: ReportsByHost = {}
    if changed:
        dialog.confirm(f"Undo this on {counted(len(changed), 'host')}?")
        reports = undo_on_all(transport, changed)
    elif probes:
        dialog.show([Text("Nothing to undo: dsr1 has changed nothing there.")])
    dialog.show(_report_lines(reports, "undone"))
    return _Outcome(
        {host: _json_undo(one, reports.get(host)) for host, one in probes.items()}, reports
    )


def _report_lines(reports: ReportsByHost, verb: str) -> Iterator[Text]:
    for hosts, report in fold_hosts(answered(reports)):
        yield from render_report(hosts, report, verb)
    yield from (Text(str(error), "bold red") for error in failed(reports).values())


def _json_host(decided: Preparation, report: PrepReport | HostError | None) -> object:
    return {
        "steps": asdict(decided.steps),
        "findings": [asdict(finding) for finding in decided.findings],
        "reboot": decided.reboot,
        "report": _json_report(report),
    }


def _json_undo(probe: HostProbe, report: PrepReport | HostError | None) -> object:
    return {"journal": asdict(probe.journal), "report": _json_report(report)}


def _json_report(report: PrepReport | HostError | None) -> object:
    """None: nothing was done."""
    if isinstance(report, HostError):
        return {"error": str(report)}
    return None if report is None else asdict(report)


def _exit_code(outcome: _Outcome, unreached: Mapping[str, str]) -> int:
    """What failed or couldn't be reached counts more than what was refused."""
    done = answered(outcome.reports).values()
    states = {step.state for one in done for step in one.bad}
    if unreached or len(done) < len(outcome.reports) or states - {"refused"}:
        return FAILED
    return UNFIT if states or outcome.hindered else 0
