"""What the runtime of a plan's hosts is asked: the flags and variables it knows, and the command of
every rank. Pure.

What can't change the answer (addresses, ports, the run's name) is left out or made alike, so that
an answer that a host has kept is good for the next launch, too.
"""

import re
from collections.abc import Iterator

from dsr1.hosts.protocol.process import Process, Variable
from dsr1.hosts.protocol.runtime import CommandLine, RuntimeQuestion
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.processes import with_setup
from dsr1.launcher.recipe.models import Recipe

JUDGED = ("dynamo.vllm", "vllm.entrypoints.cli.main")
ALIKE = {
    "--data-parallel-address": "127.0.0.1",
    "--data-parallel-rpc-port": "29550",
    "--host": "127.0.0.1",
    "--port": "8000",
}
ENDPOINT = re.compile(r"(?<=\"endpoint\":\")(\w+://[^:\"]*):\d+")  # of KV events
LASTING = ("default", "recipe ")


def make_question(recipe: Recipe, plan: Plan) -> RuntimeQuestion:
    prefix = with_setup(recipe.runtime, (recipe.runtime.interpreter,))
    commands = tuple(command_lines(plan, len(prefix)))
    return RuntimeQuestion(
        python=prefix,
        model=recipe.model.path,
        modules=tuple(dict.fromkeys(command.module for command in commands)),
        commands=tuple(command for command in commands if command.module in JUDGED),
        variables=any(command.module in JUDGED for command in commands),
    )


def command_lines(plan: Plan, prefix: int) -> Iterator[CommandLine]:
    """Of the processes that are Python modules; `prefix` words come before `-m`."""
    for process in plan.processes:
        if process.argv[prefix : prefix + 1] == ("-m",):
            module, *argv = process.argv[prefix + 1 :]
            yield CommandLine(process.name, module, tuple(_alike(argv)), tuple(_lasting(process)))


def _alike(argv: list[str]) -> Iterator[str]:
    for before, word in zip(["", *argv], argv, strict=False):
        yield ALIKE.get(before, ENDPOINT.sub(r"\1:5557", word))


def _lasting(process: Process) -> Iterator[tuple[str, str]]:
    yield from ((variable.name, variable.value) for variable in process.env if is_lasting(variable))


def is_lasting(variable: Variable) -> bool:
    """Whether it is of the recipe or of dsr1, and not of a host or a run."""
    return variable.source.startswith(LASTING)
