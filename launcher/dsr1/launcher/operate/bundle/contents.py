"""What goes into a bundle: every file that tells of a run, as text by its name in the archive."""

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version

from dsr1.env.checks.all import worst_first
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.protocol.events import Finding
from dsr1.launcher.batch.jobs import output_of
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.bundle.capped_log import CappedLog
from dsr1.launcher.operate.bundle.redaction import EXPLANATION
from dsr1.launcher.operate.logs import stream_logs
from dsr1.launcher.operate.status import run_status
from dsr1.launcher.operate.why import explain_run
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.preflight import judge_facts
from dsr1.launcher.run.stop import host_names
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.render import render_why

# Not secrets/, not what processes keep for themselves.
FILES = ("*.json", "*.log", "*.out", "*.sh", "hosts/*/events.jsonl", "hosts/*/agent.log")
MOST_BYTES = 16 << 20  # of a file that is no log
PACKAGES = ("dsr1", "pydantic", "httpx", "typer", "fabric", "paramiko", "PyYAML")


def bundle_texts(run: Run) -> Iterator[tuple[str, str]]:
    """(name, text), not redacted. What can't be had stands in `problems.txt`."""
    problems: list[str] = []
    yield "README.txt", EXPLANATION
    yield "versions.txt", _versions()
    yield from _files(run, problems)
    yield from _findings(run, problems)
    yield from _remote_words(run, problems)
    yield from _logs(run, problems)
    yield from _why(run, problems)
    yield from _status(run, problems)
    if problems:
        yield "problems.txt", "\n".join(problems) + "\n"


def _versions() -> str:
    lines = [f"python {sys.version}", f"platform {platform.platform()}"]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {version(name)}")
        except ModuleNotFoundError:
            continue
    return "\n".join(lines) + "\n"


def _files(run: Run, problems: list[str]) -> Iterator[tuple[str, str]]:
    """As they are: plan, recipe and its sources, facts, settings, events, evidence, and the output
    of its job."""
    paths = [path for pattern in FILES for path in sorted(run.folder.glob(pattern))]
    named = [(str(path.relative_to(run.folder)), path) for path in paths]
    if output := output_of(run):
        named.append(("job.out", output))
    for name, path in named:
        try:
            with path.open("rb") as file:
                yield name, file.read(MOST_BYTES).decode(errors="replace")
        except OSError as error:
            problems.append(f"{name}: {error.strerror}")


def _findings(run: Run, problems: list[str]) -> Iterator[tuple[str, str]]:
    """What its checks say of the facts that it was planned with."""
    try:
        found = run_findings(run)
    except (Dsr1Error, OSError) as error:
        problems.append(f"checks: {error}")
        return
    yield "checks.json", json.dumps([asdict(finding) for finding in found], indent=1)


def run_findings(run: Run) -> list[Finding]:
    """The worst first. LaunchFailed, OSError: what it was planned with can't be read."""
    settings, facts = run.settings(), run.facts()
    draft = make_draft(run.recipe(), settings.machines)
    return worst_first(judge_facts(draft, facts, settings.checks))


def _remote_words(run: Run, problems: list[str]) -> Iterator[tuple[str, str]]:
    """The events and logs of agents on other machines; those of this one are among the files."""
    names = host_names(run) if run.is_planned() else ()
    remote = [host for host in names if not (run.folder / "hosts" / host).is_dir()]
    if not remote:
        return
    try:
        transport = backend_of(run).transport(run)
        for host in remote:
            for name, text in transport.own_words(host).items():
                yield f"hosts/{host}/{name}", text
    except (Dsr1Error, OSError) as error:
        problems.append(f"the agents' own words: {error}")


def _logs(run: Run, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Of every process, from every host, each within bounds."""
    logs: dict[tuple[str, str], CappedLog] = {}
    try:
        for chunk in stream_logs(run, follow=False):
            if not chunk.process:
                problems.append(f"{chunk.host}: {chunk.text}")
                continue
            log = logs.setdefault((chunk.host, chunk.process), CappedLog())
            for line in chunk.text.split("\n"):
                log.feed(line)
    except (Dsr1Error, OSError) as error:
        problems.append(f"logs: {error}")
    for (host, process), log in sorted(logs.items()):
        yield f"logs/{host}/{process}.log", log.text()


def _why(run: Run, problems: list[str]) -> Iterator[tuple[str, str]]:
    try:
        found = explain_run(run)
    except (Dsr1Error, OSError) as error:
        problems.append(f"why: {error}")
        return
    if found.cause:
        yield "why.txt", "\n".join(render_why(found.cause, found.evidence, found.earlier)) + "\n"
        yield "why.json", _json(asdict(found.cause))


def _status(run: Run, problems: list[str]) -> Iterator[tuple[str, str]]:
    try:
        yield "status.json", _json(asdict(run_status(run)))
    except (Dsr1Error, OSError) as error:
        problems.append(f"status: {error}")


def _json(plain: Mapping[str, object]) -> str:
    return json.dumps(plain, indent=1, default=str)
