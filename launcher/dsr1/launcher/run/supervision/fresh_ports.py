"""A launch that somebody took planned ports from is begun once more, with others: what vLLM picks
by itself, and what another user's process binds between the plan and the start, no plan can
keep."""

import json
import os
from collections.abc import Callable, Iterator, Sequence

from dsr1.env.findings import folded
from dsr1.hosts.errors import CheckFailed, InputError
from dsr1.hosts.protocol.events import Finding
from dsr1.launcher.layout.ports import EPHEMERAL
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.parts import Ports
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.state_writer import StateWriter

CHECK, HELD = "run.ports", ("is held by", "is reserved by run")
RULES = ("net.port_taken", "net.port_in_use")
LOWEST, TRIES = 1024, 8


ChangePlan = Callable[[Plan, Run, RunSettings], Plan]
"""The plan of another attempt from the one before."""


def same_plan(plan: Plan, run: Run, settings: RunSettings) -> Plan:
    return plan


class PortsTaken(CheckFailed):
    """Ports of dsr1's own choice were taken since they were planned. Nothing was started."""


def refusal(failed: Sequence[Finding], recipe: Recipe) -> CheckFailed:
    """Of a host that can't be prepared. The frontend's port is the user's choice."""
    frontend = f"port {recipe.frontend.port} "
    own = all(
        one.check == CHECK
        and not one.wanted.startswith(frontend)
        and any(words in one.seen for words in HELD)
        for one in failed
    )
    return (PortsTaken if own else CheckFailed)("\n".join(folded(failed)))


def were_taken(serve: Callable[[], None], writer: StateWriter, plan: Plan) -> bool:
    """Whether what is served failed for want of the plan's ports, before it ever did."""
    try:
        serve()
        taken = lost_to_ports(writer.state, plan)
    except PortsTaken as error:
        writer.save(phase="stopping", reason=str(error))
        taken = True
    if taken:
        writer.note((f"started once more, with other ports: {writer.state.reason}",))
    return taken


def lost_to_ports(state: RunState, plan: Plan) -> bool:
    """Whether a rank of a start that never served wanted a port that was taken."""
    if state.cause is None or state.ready_after is not None:
        return False
    sign = state.cause.sign
    ranks = {process.name for process in plan.processes if process.ranks}
    own = sign.process in ranks and str(plan.service.port) not in sign.text
    return sign.rule in RULES and own


def with_fresh_ports(plan: Plan, run: Run, settings: RunSettings) -> Plan:
    """The same with ports that no process of it has now, which its recipe says from then on; as it
    was where there is no room for others."""
    recipe = run.recipe()
    for base in _bases(recipe, plan):
        moved = recipe.model_copy(update={"ports": Ports(base=base)})
        folder, facts = str(run.folder), run.facts()
        try:
            where = (run.name, folder, facts, run.run_id(), settings.pins)
            made = make_plan(moved, settings.machines, *where)
        except InputError:  # it would meet the frontend's port, or the ephemeral range
            continue
        _rewrite(run, moved)
        return made
    return plan


def _bases(recipe: Recipe, plan: Plan) -> Iterator[int]:
    """Upward, then downward, block by block."""
    base = recipe.ports.base
    ports = {port for process in plan.processes for port in process.ports} - {plan.service.port}
    size = max((port for port in ports if base <= port < EPHEMERAL), default=base) - base + 1
    steps = (*range(1, TRIES), *range(-1, -TRIES, -1))
    found = (base + step * size for step in steps)
    yield from (one for one in found if LOWEST <= one < EPHEMERAL)


def _rewrite(run: Run, recipe: Recipe) -> None:
    """Its time is that of the claim, by which runs are ordered."""
    file = run.folder / "recipe.json"
    claimed = file.stat()
    run.write_kept(file.name, json.dumps(recipe.model_dump(), indent=1))
    os.utime(file, ns=(claimed.st_atime_ns, claimed.st_mtime_ns))
