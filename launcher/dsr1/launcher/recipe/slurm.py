"""The part of a recipe that says how a Slurm job is asked for."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.containers import container_problem
from dsr1.launcher.recipe.types import MOST_NODES, Count, NodeCount, RecipePart, Text
from dsr1.slurm.spec import check_step_options


def _no_number(value: object) -> object:
    if isinstance(value, int):
        raise ValueError('put it in quotes, "4:00:00": YAML reads a bare 4:00:00 as a number')
    return value


def _outside_of_containers(options: list[str]) -> list[str]:
    problems = (container_problem(option) for option in options)
    if problem := next(filter(None, problems), ""):
        raise ValueError(problem)
    return options


def _step_options(options: list[str]) -> list[str]:
    try:
        return list(check_step_options(_outside_of_containers(options)))
    except InputError as error:
        raise ValueError(str(error)) from None


class Slurm(RecipePart):
    """How a job is asked for; keys are sbatch's own options, `directives` any further ones.

    `nodes` is for engines that take all, `spares` are nodes beyond those. `warn` seconds before the
    time limit the deployment stops cleanly, and is submitted again `resubmit` times; with `overlap`
    its successor is started so many seconds before that, and takes over. `setup`: bash
    lines first (modules). `srun`: further options of every step.
    """

    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    reservation: Text | None = None
    time: Annotated[Text, BeforeValidator(_no_number)] | None = None
    nodes: NodeCount | None = None
    spares: Annotated[int, Field(ge=0, le=MOST_NODES)] = 0
    gpus_per_node: Count | Text | None = None
    gres: Text | None = None
    exclusive: bool = True
    constraint: Text | None = None
    exclude: Text | None = None
    nodelist: Text | None = None
    mail_user: Text | None = None
    mail_type: Text | None = None
    output: Text | None = None
    comment: Text | None = None
    requeue: bool = False
    warn: Annotated[int, Field(ge=10)] = 120
    resubmit: Annotated[int, Field(ge=0)] = 0
    overlap: Annotated[int, Field(ge=0)] = 0
    directives: Annotated[list[Text], AfterValidator(_outside_of_containers)] = []
    setup: list[Text] = []
    srun: Annotated[list[Text], AfterValidator(_step_options)] = []

    @model_validator(mode="after")
    def _overlaps_another(self) -> "Slurm":
        if self.overlap and not self.resubmit:
            raise ValueError("overlap is for a job that is followed by another: give resubmit, too")
        return self
