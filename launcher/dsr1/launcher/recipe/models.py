"""The recipe: what to serve, as a strict pydantic model of a YAML file. An unknown key is an error
that names it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.parse import HCA_NAME, parse_hosts
from dsr1.launcher.recipe.engine import QUEUE_DEPTH, Engine
from dsr1.launcher.recipe.parts import (
    Etcd,
    Frontend,
    Health,
    Hooks,
    Logs,
    Model,
    Ports,
    Restart,
    Runtime,
    Scraping,
    Timeouts,
)
from dsr1.launcher.recipe.slurm import Slurm
from dsr1.launcher.recipe.stacks import STACK_TRAITS, StackTraits
from dsr1.launcher.recipe.transfer import transfer_problem
from dsr1.launcher.recipe.types import MOST_NODES, MOST_RANKS, Name, RecipePart, Security, Text

HIGHEST_QUEUE_DEPTH = 32768  # log_max_qp_sz of ConnectX-7 is 15


def _stack(value: str) -> str:
    if value not in STACK_TRAITS:
        raise ValueError(f"must be {' or '.join(STACK_TRAITS)}")
    return value


class Recipe(RecipePart):
    """A whole recipe. `hca` names the adapters to use, instead of those that dsr1 would choose:
    mlx5_0, ibp*."""

    name: Name
    description: Text = ""
    model: Model
    runtime: Runtime = Runtime()
    stack: Annotated[str, AfterValidator(_stack)] = "dynamo"
    frontend: Frontend = Frontend()
    metrics: Scraping = Scraping()
    engines: Annotated[dict[Name, Engine], Field(min_length=1)]
    timeouts: Timeouts = Timeouts()
    restart: Restart = Restart()
    health: Health = Health()
    hooks: Hooks = Hooks()
    logs: Logs = Logs()
    orphans: Literal["keep", "end"] = "keep"
    spares: list[Text] = []
    hca: list[Annotated[str, Field(pattern=HCA_NAME)]] = []
    ports: Ports = Ports()
    etcd: Etcd = Etcd()
    security: Security = "tls"
    slurm: Slurm = Slurm()

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        problem = next(filter(None, (check(self) for check in _CHECKS)), None)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def traits(self) -> StackTraits:
        return STACK_TRAITS[self.stack]

    @property
    def restarts_engines(self) -> bool:
        """Whether an engine that ends is restarted alone."""
        several = sum(one.replicas for one in self.engines.values()) > 1
        several = several or self.frontend.replicas > 1
        return self.restart.scope == "engine" or (self.restart.scope is None and several)

    @property
    def uses_gpus(self) -> bool:
        return self.runtime.device == "cuda" and not self.traits.simulated

    @property
    def draft_models(self) -> tuple[str, ...]:
        """Whose weights are read beside the model's own."""
        found = dict.fromkeys(engine.draft_model for engine in self.engines.values())
        apart = (name for name in found if name and name != self.model.path)
        return () if self.traits.simulated else tuple(apart)

    @property
    def is_meaningless(self) -> bool:
        """Whether what it answers means nothing: simulated engines, or random weights."""
        return self.traits.simulated or any(one.has_dummy_weights for one in self.engines.values())

    @property
    def reads_weights(self) -> bool:
        """Whether any engine does."""
        real = not all(one.has_dummy_weights for one in self.engines.values())
        return real and not self.traits.simulated


def _one_engine_takes_all(recipe: Recipe) -> str:
    names = [name for name, engine in recipe.engines.items() if engine.nodes == "all"]
    if len(names) < 2:
        return ""
    return f"engines {', '.join(names)} all have nodes: all; give all but one a number"


def _sizes_are_real(recipe: Recipe) -> str:
    """Counts multiply: refused before anything is laid out."""
    nodes = sum(engine.least_nodes for engine in recipe.engines.values())
    ranks = sum(engine.least_ranks for engine in recipe.engines.values())
    if nodes > MOST_NODES:
        return f"engines: ask for {nodes} nodes in all; dsr1 places at most {MOST_NODES}"
    if ranks > MOST_RANKS:
        return f"engines: ask for {ranks} ranks in all; dsr1 places at most {MOST_RANKS}"
    return ""


_NO_KEY = (
    "frontend.api_key_file: Dynamo's frontend knows no key; leave it out and put a proxy in front,"
    " whose configuration `dsr1 render --nginx` prints, or take stack vllm"
)


def _stack_can(recipe: Recipe) -> str:
    """vLLM's own servers move no KV caches between engines, and every engine has one anyway."""
    if not recipe.traits.own_servers:
        return _NO_KEY if recipe.frontend.api_key_file else ""
    roles = [name for name, engine in recipe.engines.items() if engine.role != "aggregated"]
    if roles:
        return f"engines.{roles[0]}.role: prefill and decode apart need stack dynamo"
    own = (
        "frontend.replicas: with stack vllm every engine has a server of its own; give the engine"
        " replicas"
    )
    return own if recipe.frontend.replicas > 1 else ""


def _doors_are_known(recipe: Recipe) -> str:
    """What dsr1 itself asks would be refused, and a key in a recipe is in plain sight."""
    parts = {"runtime.env": recipe.runtime.env, "frontend.env": recipe.frontend.env}
    parts |= {f"engines.{name}.env": engine.env for name, engine in recipe.engines.items()}
    for part, env in parts.items():
        for name, key in _DOORS.items():
            if name in env:
                return f"{part}.{name}: is set by the recipe's own key: {key}"
    return ""


_DOORS = {
    "VLLM_API_KEY": "frontend.api_key_file",
    "DYN_TLS_CERT_PATH": "frontend.tls",
    "DYN_TLS_KEY_PATH": "frontend.tls",
}


def _roles_complete(recipe: Recipe) -> str:
    """Decode alone lists no model and answers 503, prefill alone 404, and both look healthy."""
    there = {engine.role for engine in recipe.engines.values()} - {"aggregated"}
    missing = {"prefill", "decode"} - there
    return (
        f"engines: role {there.pop()} without role {missing.pop()} can't serve"
        if there and missing
        else ""
    )


def _caches_are_handed_over(recipe: Recipe) -> str:
    return "" if recipe.traits.simulated else transfer_problem(recipe.engines, recipe.runtime.env)


def _names_are_free(recipe: Recipe) -> str:
    """Processes and their groups are found by name, and these are of every plan."""
    taken = [name for name in recipe.engines if re.fullmatch(r"etcd|gateway|frontend(-.*)?", name)]
    return f"engines.{taken[0]}: is the name of a process beside the engines" if taken else ""


def _replicas_have_names(recipe: Recipe) -> str:
    """A replica's name is its engine's with -rN; no engine may be called so."""
    for name, engine in recipe.engines.items():
        taken = [
            f"{name}-r{number}"
            for number in range(engine.replicas)
            if f"{name}-r{number}" in recipe.engines
        ]
        if engine.replicas > 1 and taken:
            return f"engines.{taken[0]}: is the name of a replica of {name}; choose another"
    return ""


def _queues_are_deep(recipe: Recipe) -> str:
    for name, engine in recipe.engines.items():
        backend, tokens = engine.all2all_backend, engine.token_budget
        if backend == "deepep_low_latency" and tokens and not engine.is_one_rank:
            given = {**recipe.runtime.env, **engine.env}.get(QUEUE_DEPTH, "")
            if problem := _shallow_queue(tokens, given):
                return f"engines.{name}: {problem}"
    return ""


def _shallow_queue(tokens: int, given: str) -> str:
    """DeepEP's low-latency kernels assert that a queue holds two entries a token, and two more."""
    needed = 2 * (tokens + 1)
    depth, limit = HIGHEST_QUEUE_DEPTH, f"an adapter's queue holds {HIGHEST_QUEUE_DEPTH}"
    if given.isdecimal():
        depth, limit = int(given), f"{QUEUE_DEPTH} is {given}"
    if needed <= depth:
        return ""
    return (
        f"{tokens} batched tokens need a DeepEP queue of {needed}, and {limit};"
        f" max_num_batched_tokens may be {depth // 2 - 1}"
    )


def _spares_are_hosts(recipe: Recipe) -> str:
    """A file of them (@hosts.yaml) is read at the launch."""
    named = ",".join(recipe.spares)
    try:
        _ = parse_hosts(named, source="spares") if named and not named.startswith("@") else ()
    except InputError as error:
        return str(error)
    return ""


_CHECKS = (
    _sizes_are_real,
    _one_engine_takes_all,
    _stack_can,
    _doors_are_known,
    _roles_complete,
    _caches_are_handed_over,
    _names_are_free,
    _replicas_have_names,
    _queues_are_deep,
    _spares_are_hosts,
)
