"""The same commands as a run's, started by hand beside it: what dsr1 costs is the difference."""

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.launcher.benchmark.session import Bench
from dsr1.launcher.commands.secrets import API_KEY, FRONTEND_KEY, SECRETS_FOLDER
from dsr1.launcher.operate.backends import backend_name
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.render_bash import render_bash
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.store import Run, new_run_id
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.readiness import MALFORMED, chat, missing

BY_HAND = "by hand"
PORTS_APART, EPHEMERAL = 500, 32768
POLL_S, MARGIN_S = 0.2, 10.0
PR_SET_PDEATHSIG = 1
STILL_RUNS = "something still runs of: "  # the script's own words


@dataclass(frozen=True, slots=True)
class ByHand:
    """`plan`: what the script starts; `script`: where it lies."""

    plan: Plan
    script: Path


@contextlib.contextmanager
def started_by_hand(run: Run, bench: Bench, tell: Callable[[str], None]) -> Iterator[Bench]:
    """The run's bench, of its copy. All of the copy is ended at the end of the block, and with
    this process. InputError: there is no room for it beside the run; LaunchFailed: it doesn't
    come up."""
    recipe = run.recipe()
    refuse_no_room(run, recipe)
    with tempfile.TemporaryDirectory(prefix="dsr1-by-hand-", ignore_cleanup_errors=True) as folder:
        copy = render_copy(run, recipe, Path(folder))
        tell(f"starting the same commands by hand, at {copy.plan.service.url}")
        with _script(copy, Path(folder)) as child:
            _await_ready(run, recipe, copy, child, Path(folder))
            yield replace(bench, target=replace(bench.target, url=copy.plan.service.url))


def refuse_no_room(run: Run, recipe: Recipe) -> None:
    """InputError: only on this machine's CPUs can two deployments of the same size stand side by
    side."""
    if backend_name(run) == "local" and not recipe.uses_gpus:
        return
    raise InputError(
        f"--launcher-cost: {run.name} has its hosts' GPUs for itself, or runs elsewhere. In turn:"
        " bench it, stop it, start `dsr1 render --bash` there, and bench that with --url"
    )


def render_copy(run: Run, recipe: Recipe, folder: Path) -> ByHand:
    """On ports of its own, with an identity of its own; else what the run was started with."""
    own = on_other_ports(recipe)
    hosts = run.settings().machines
    plan = make_plan(own, hosts, "by-hand", str(folder), run.facts(), new_run_id())
    _place_secrets(folder / SECRETS_FOLDER, run.secrets())
    script = folder / "run.sh"
    script.write_text(render_bash(plan, str(folder)))
    return ByHand(plan, script)


def on_other_ports(recipe: Recipe) -> Recipe:
    """Higher, where there is room below those that the kernel gives to clients."""
    base, port = recipe.ports.base, recipe.frontend.port
    apart = PORTS_APART if max(base, port) + 2 * PORTS_APART < EPHEMERAL else -PORTS_APART
    changes = {
        "ports": recipe.ports.model_copy(update={"base": base + apart}),
        "frontend": recipe.frontend.model_copy(update={"port": port + apart}),
    }
    return recipe.model_copy(update=changes)


def _place_secrets(folder: Path, secrets: Mapping[str, str]) -> None:
    """What nobody but the user can give, who gave it to the run."""
    folder.mkdir(mode=0o700)
    for name in (FRONTEND_CERT, FRONTEND_KEY, API_KEY):
        if name in secrets:
            write_file(folder / name, secrets[name].encode())


@contextlib.contextmanager
def _script(copy: ByHand, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """It ends its processes on SIGTERM, which it also gets when we die."""
    grace_s = max(process.grace_s for process in copy.plan.processes)
    with (folder / "script.log").open("wb") as log:
        child = subprocess.Popen(
            ("bash", str(copy.script)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(_tied, os.getpid()),
        )
    try:
        yield child
    finally:
        child.terminate()
        _await_end(child, grace_s + MARGIN_S, folder / "script.log")


def _await_end(child: "subprocess.Popen[bytes]", seconds: float, log: Path) -> None:
    """LaunchFailed: its processes may still run. It isn't killed: nobody else would end them."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise LaunchFailed(
            f"by hand: the script (pid {child.pid}) hasn't ended after {seconds:g} s; its processes"
            " may still run"
        ) from None
    if STILL_RUNS in (words := log.read_text(errors="replace")):
        raise LaunchFailed(f"by hand: {words.strip()[-600:]}")


def _tied(parent: int) -> None:
    """To whoever started it, also where that has died meanwhile."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _await_ready(
    run: Run, recipe: Recipe, copy: ByHand, child: "subprocess.Popen[bytes]", folder: Path
) -> None:
    until, lacks = time.monotonic() + recipe.timeouts.ready, "nothing was asked yet"
    with make_client(run.settings().access) as client:
        while time.monotonic() < until:
            if child.poll() is not None:
                words = (folder / "script.log").read_text(errors="replace").strip()[-600:]
                raise LaunchFailed(f"by hand: the script ended with {child.returncode}: {words}")
            lacks = _lacks(copy.plan, client)
            if not lacks:
                return
            time.sleep(POLL_S)
    raise LaunchFailed(f"by hand: not ready after {recipe.timeouts.ready:g} s: {lacks}")


def _lacks(plan: Plan, client: httpx.Client) -> str:
    if lacks := missing(plan.service, client):
        return lacks
    try:
        chat(plan.service, client)
    except (httpx.HTTPError, *MALFORMED) as error:
        return f"{type(error).__name__}: {error}"
    return ""
