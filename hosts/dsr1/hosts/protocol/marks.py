"""What marks a run's agents and processes, in the environment of each: it outlives every file, and
no other run has it."""

from collections.abc import Mapping

from dsr1.hosts.dataclass import dataclass

RUN_ID, RUN, HOST, FOLDER = "DSR1_RUN_ID", "DSR1_RUN", "DSR1_HOST", "DSR1_FOLDER"
PROCESS, AGENT, ORIGIN, LINEAGE = "DSR1_PROCESS", "DSR1_AGENT", "DSR1_ORIGIN", "DSR1_LINEAGE"
# vLLM names its processes by setproctitle, which writes over the memory that /proc/PID/environ
# shows: with 1.3.8 every mark was gone. With this variable it leaves the environment alone.
KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """One agent of one run. `run_id` is random, and every order carries it; `host` is the host's
    name in the plan: several may be one machine."""

    run_id: str
    host: str


@dataclass(frozen=True, slots=True)
class Marks:
    """Of a process. Without `process` it is an agent, or one that is about to be. `lineage`: the
    number that it was given with its environment, see the agent's lineage.py; who has these marks
    and not that number has a copy of them. 0: there was none to be given."""

    identity: AgentIdentity
    run: str
    folder: str
    origin: str = ""
    process: str = ""
    lineage: int = 0


def read_marks(environment: Mapping[str, str]) -> Marks | None:
    """None: it is no process of a run."""
    if not environment.get(RUN_ID):
        return None
    return Marks(
        AgentIdentity(environment[RUN_ID], environment.get(HOST, "")),
        environment.get(RUN, ""),
        environment.get(FOLDER, ""),
        environment.get(ORIGIN, ""),
        environment.get(PROCESS, ""),
        int(lineage) if (lineage := environment.get(LINEAGE, "")).isdecimal() else 0,
    )


def render_marks(marks: Marks) -> dict[str, str]:
    """As variables."""
    own = {
        RUN_ID: marks.identity.run_id,
        HOST: marks.identity.host,
        RUN: marks.run,
        FOLDER: marks.folder,
        ORIGIN: marks.origin,
        PROCESS: marks.process,
        LINEAGE: str(marks.lineage or ""),
    }
    return {name: value for name, value in own.items() if value} | KEEP_ENVIRONMENT
