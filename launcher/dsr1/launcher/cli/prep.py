"""`dsr1 prep`: what would make hosts fit, shown; done with --apply; taken back with --undo."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    AsJson,
    HostsOption,
    ModelPath,
    Profiles,
    RecipeName,
    SetOption,
    Venv,
    chosen_hosts,
    chosen_recipe,
)

if TYPE_CHECKING:
    from rich.text import Text

    from dsr1.env.prep.decide import Preparation
    from dsr1.hosts.errors import HostError
    from dsr1.hosts.protocol.prep import HostProbe, PrepReport
    from dsr1.hosts.transport.base import Transport

UNFIT, FAILED = 3, 4


def prep(
    recipe: RecipeName = "dsr1-dep",
    hosts: HostsOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", help="Mend this check or kind: ibgda, sys.shm; may be repeated."
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do what is shown.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back all that --apply did.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Change hosts without a question.")] = False,
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
    as_json: AsJson = False,
) -> None:
    """Show what would make every host fit, and do it.

    Shown is file by file what, and why. --apply does it, --undo takes it back. No reboots.
    """
    from dsr1.hosts.transport.connect import connect_hosts
    from dsr1.launcher.prep.hosts import choose_parts, prep_ports, probe_all

    _refuse_mixed(only, apply, undo)
    talk = _Talk(as_json, yes)
    if apply or undo:
        talk.refuse_unasked()
    loaded = chosen_recipe(recipe, changes, model, venv, profile)
    accesses = chosen_hosts(hosts, accept_new_keys)
    ids, ports = choose_parts(only or ()), prep_ports(loaded, accesses)
    with connect_hosts(accesses, loaded.runtime.interpreter) as (transport, names):
        seen, lost = _apart(probe_all(transport, names))
        result = (
            _undo(transport, seen, talk)
            if undo
            else _prepare(transport, seen, talk, (ids, ports, apply))
        )
    talk.end(result, lost)
    raise typer.Exit(_code(result, lost))


def _refuse_mixed(only: list[str] | None, apply: bool, undo: bool) -> None:
    from dsr1.hosts.errors import InputError

    if undo and (apply or only):
        raise InputError(
            "--undo takes back all that was done: neither --apply nor --only goes with it"
        )


def _apart(
    told: "Mapping[str, HostProbe | HostError]",
) -> "tuple[dict[str, HostProbe], dict[str, str]]":
    """Hosts that told, and why the others didn't."""
    from dsr1.hosts.errors import HostError

    seen = {host: one for host, one in told.items() if not isinstance(one, HostError)}
    return seen, {host: str(one) for host, one in told.items() if isinstance(one, HostError)}


@dataclass(frozen=True, slots=True)
class _Result:
    """`plain` is JSON's, by host."""

    plain: dict[str, object]
    reports: "Mapping[str, PrepReport | HostError]"
    hindered: bool = False


def _code(result: _Result, lost: Mapping[str, str]) -> int:
    """What failed or couldn't be reached before what was refused."""
    from dsr1.hosts.errors import HostError

    reports = result.reports.values()
    states = {
        outcome.state for one in reports if not isinstance(one, HostError) for outcome in one.bad
    }
    if lost or states - {"refused"} or any(isinstance(one, HostError) for one in reports):
        return FAILED
    return UNFIT if states or result.hindered else 0


class _Talk:
    """With a person, or in JSON with a program: that is told nothing but the end, and never
    asked."""

    def __init__(self, as_json: bool, yes: bool) -> None:
        self._as_json, self._yes = as_json, yes

    def refuse_unasked(self) -> None:
        from dsr1.hosts.errors import InputError

        if not self._yes and (self._as_json or not sys.stdin.isatty()):
            raise InputError(
                "nobody can be asked here (no terminal, or --json): --yes changes hosts all the"
                " same"
            )

    def say(self, lines: "Iterable[Text]") -> None:
        from rich.console import Console

        if not self._as_json:
            console = Console(highlight=False, soft_wrap=True)
            for line in lines:
                console.print(line)

    def agree(self, question: str) -> None:
        """Typer's Abort, exit code 1: no."""
        if not self._yes:
            typer.confirm(question, abort=True)

    def end(self, result: _Result, lost: Mapping[str, str]) -> None:
        if self._as_json:
            print(json.dumps({"hosts": result.plain, "unreached": dict(lost)}, indent=2))
        for why in lost.values():
            print(f"dsr1: {why}", file=sys.stderr)


def _prepare(
    transport: "Transport",
    seen: "Mapping[str, HostProbe]",
    talk: _Talk,
    wish: tuple[Sequence[str], Sequence[int], bool],
) -> _Result:
    """`wish`: what to mend, the recipe's ports, and whether to do it."""
    from dsr1.env.prep.decide import decide
    from dsr1.launcher.prep.hosts import apply_to_all
    from dsr1.launcher.prep.render import group_hosts, render_end, render_host_group

    ids, ports, apply = wish
    made = {host: decide(host, one, ports, ids) for host, one in seen.items()}
    cards = group_hosts(made, {host: one.system for host, one in seen.items()})
    talk.say(line for card in cards for line in render_host_group(card, ids))
    steps = {host: one.steps for host, one in made.items() if one.steps}
    reports: Mapping[str, PrepReport | HostError] = {}
    if apply and steps:
        talk.agree(f"Change {_hosts(steps)}?")
        reports = apply_to_all(transport, seen, steps)
    talk.say(_reported(reports, "done"))
    talk.say(render_end(made, apply))
    plain: dict[str, object] = {host: _plain(one, reports.get(host)) for host, one in made.items()}
    return _Result(plain, reports, any(one.hindered for one in made.values()))


def _undo(transport: "Transport", seen: "Mapping[str, HostProbe]", talk: _Talk) -> _Result:
    from rich.text import Text

    from dsr1.launcher.prep.hosts import undo_on_all
    from dsr1.launcher.prep.render import fold_hosts, render_journal

    changed = {host: one for host, one in seen.items() if one.journal}
    journals = fold_hosts({host: one.journal for host, one in changed.items()})
    talk.say(line for hosts, journal in journals for line in render_journal(hosts, journal))
    reports: Mapping[str, PrepReport | HostError] = {}
    if changed:
        talk.agree(f"Take this back on {_hosts(changed)}?")
        reports = undo_on_all(transport, changed)
    talk.say(_reported(reports, "undone"))
    if seen and not changed:
        talk.say([Text("Nothing to take back: dsr1 has changed nothing there.")])
    plain: dict[str, object] = {
        host: {"journal": asdict(one.journal), "report": _told(reports.get(host))}
        for host, one in seen.items()
    }
    return _Result(plain, reports)


def _hosts(some: Mapping[str, object]) -> str:
    return f"{len(some)} host{'s' if len(some) > 1 else ''}"


def _reported(reports: "Mapping[str, PrepReport | HostError]", verb: str) -> "Iterable[Text]":
    from rich.text import Text

    from dsr1.hosts.errors import HostError
    from dsr1.launcher.prep.render import fold_hosts, render_report

    done = {host: one for host, one in reports.items() if not isinstance(one, HostError)}
    for hosts, report in fold_hosts(done):
        yield from render_report(hosts, report, verb)
    yield from (
        Text(str(one), "bold red") for one in reports.values() if isinstance(one, HostError)
    )


def _plain(made: "Preparation", report: "PrepReport | HostError | None") -> dict[str, object]:
    findings = [asdict(finding) for finding in made.findings]
    return {
        "steps": asdict(made.steps),
        "findings": findings,
        "reboot": made.reboot,
        "report": _told(report),
    }


def _told(report: "PrepReport | HostError | None") -> object:
    """None: nothing was done."""
    from dsr1.hosts.errors import HostError

    if isinstance(report, HostError):
        return {"error": str(report)}
    return None if report is None else asdict(report)
