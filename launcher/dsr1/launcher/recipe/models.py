"""The recipe: what to serve, as strict pydantic models of a YAML file. An unknown key is an error
that names it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.parse import HCA_NAME, parse_hosts
from dsr1.launcher.recipe.engine import QUEUE_DEPTH, Engine
from dsr1.launcher.recipe.stacks import STACK_TRAITS, StackTraits
from dsr1.launcher.recipe.types import (
    MOST_NODES,
    MOST_RANKS,
    Arguments,
    Count,
    Environment,
    Name,
    NodeCount,
    PortNumber,
    RecipePart,
    Seconds,
    Text,
)

HIGHEST_QUEUE_DEPTH = 32768  # log_max_qp_sz of ConnectX-7 is 15
R1_EXPERTS = 256


class Model(RecipePart):
    """The weights: a folder on every host, or a hub id. `served_name` is the name that clients ask
    for.

    `experts` are the routed experts of a layer: read from config.json where that is at hand, known
    for R1 and V3.
    """

    path: Annotated[Text, Field(min_length=1)]
    served_name: Text | None = None
    experts: Count | None = None

    @property
    def name(self) -> str:
        return self.served_name or self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def is_folder(self) -> bool:
        return self.path.startswith(("/", "."))

    @property
    def is_r1(self) -> bool:
        return self._is_named("deepseek-r1")

    @property
    def routed_experts(self) -> int | None:
        return self.experts or (R1_EXPERTS if self.is_r1 or self._is_named("deepseek-v3") else None)

    def _is_named(self, word: str) -> bool:
        """By its folder or its served name; the distilled ones are other models."""
        names = [
            name.rstrip("/").rsplit("/", 1)[-1].lower()
            for name in (self.path, self.served_name or "")
        ]
        return any(name.startswith(word) for name in names) and not any(
            "distill" in name for name in names
        )


class Runtime(RecipePart):
    """The Python that has vLLM on every host: a `venv` folder or a `python` command. `setup`: bash
    lines first.

    `cache_dir` is a folder on each host's own disk for what is compiled there; by default one in
    /var/tmp.
    """

    python: Text | None = None
    venv: Text | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    setup: list[Text] = []
    cache_dir: Annotated[Text, Field(pattern=r"^/")] | None = None
    env: Environment = {}

    @model_validator(mode="after")
    def _one_of(self) -> "Runtime":
        if self.python and self.venv:
            raise ValueError("give python or venv, not both")
        return self

    @property
    def interpreter(self) -> str:
        return f"{self.venv.rstrip('/')}/bin/python" if self.venv else self.python or "python3"


class Frontend(RecipePart):
    """Where clients connect. With stack `vllm` these are the engines' own API servers;
    `router_mode` has no meaning.

    `host` is the address to listen on; by default the first host's control address, and nothing
    more. Several `replicas` run on as many hosts and are reached at that one address, as several of
    vLLM's servers are.
    """

    host: Text | None = None
    port: PortNumber = 8000
    replicas: NodeCount = 1
    router_mode: Literal[
        "round-robin", "random", "power-of-two", "kv", "direct", "least-loaded"
    ] = "round-robin"
    args: Arguments = {}
    env: Environment = {}


class Timeouts(RecipePart):
    """Seconds. `ready` bounds the whole start, `lost` how long a host may be out of reach.

    `importing`, `loading` and `compiling` bound a rank's stay in such phases without any progress.
    """

    prepare: Seconds = 60
    ready: Seconds = 5400
    importing: Seconds = 600
    loading: Seconds = 3600
    compiling: Seconds = 3600
    chat: Seconds = 120
    stop: Seconds = 10
    lost: Seconds = 60


class Etcd(RecipePart):
    """The user's own etcd, as URLs. Without it a run over several hosts starts one of its own on
    the first."""

    endpoints: list[Text] = []


class Restart(RecipePart):
    """After an unasked end the whole deployment is started again, `max` times at most, `backoff`
    seconds later."""

    max: Annotated[int, Field(ge=0)] = 0
    backoff: Seconds = 10


class Ports(RecipePart):
    """Every port that dsr1 chooses is `base` or a little above it, and below the kernel's ephemeral
    range."""

    base: PortNumber = 20000


def _no_number(value: object) -> object:
    if isinstance(value, int):
        raise ValueError('put it in quotes, "4:00:00": YAML reads a bare 4:00:00 as a number')
    return value


class Slurm(RecipePart):
    """How a job is asked for; keys are sbatch's own options, `directives` any further ones.

    `nodes` is for engines that take all, `spares` are nodes beyond those. `warn` seconds before the
    time limit the deployment stops cleanly, and is submitted again `resubmit` times. `setup`: bash
    lines first (modules).
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
    directives: list[Text] = []
    setup: list[Text] = []


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
    engines: Annotated[dict[Name, Engine], Field(min_length=1)]
    timeouts: Timeouts = Timeouts()
    restart: Restart = Restart()
    spares: list[Text] = []
    hca: list[Annotated[str, Field(pattern=HCA_NAME)]] = []
    ports: Ports = Ports()
    etcd: Etcd = Etcd()
    security: Literal["tls", "off"] = "tls"
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
    def uses_gpus(self) -> bool:
        return self.runtime.device == "cuda" and not self.traits.simulated

    @property
    def is_meaningless(self) -> bool:
        """Whether what it answers means nothing: simulated engines, or random weights."""
        dummy = [
            engine.args.get(name)
            for engine in self.engines.values()
            for name in ("load-format", "load_format")
        ]
        return self.traits.simulated or "dummy" in dummy


def _hosts_are_dealt(recipe: Recipe) -> str:
    greedy = [name for name, engine in recipe.engines.items() if engine.nodes == "all"]
    return (
        f"engines {', '.join(greedy)} all take nodes: all; give a number to all but one"
        if len(greedy) > 1
        else ""
    )


def _sizes_are_real(recipe: Recipe) -> str:
    """Counts multiply: refused before anything is laid out."""
    nodes = sum(engine.least_nodes for engine in recipe.engines.values())
    ranks = sum(engine.least_ranks for engine in recipe.engines.values())
    if nodes > MOST_NODES:
        return f"engines: ask for {nodes} nodes in all; dsr1 places at most {MOST_NODES}"
    return (
        f"engines: ask for {ranks} ranks in all; dsr1 places at most {MOST_RANKS}"
        if ranks > MOST_RANKS
        else ""
    )


def _stack_can(recipe: Recipe) -> str:
    """vLLM's own servers move no KV caches between engines, and each engine has them without being
    asked."""
    if not recipe.traits.own_servers:
        return ""
    roles = [name for name, engine in recipe.engines.items() if engine.role != "aggregated"]
    if roles:
        return f"engines.{roles[0]}.role: prefill and decode apart need stack dynamo"
    own = (
        "frontend.replicas: with stack vllm every engine has a server of its own; give the engine"
        " replicas"
    )
    return own if recipe.frontend.replicas > 1 else ""


def _roles_complete(recipe: Recipe) -> str:
    """Decode alone lists no model and answers 503, prefill alone 404, and both look healthy."""
    there = {engine.role for engine in recipe.engines.values()} - {"aggregated"}
    missing = {"prefill", "decode"} - there
    return (
        f"engines: role {there.pop()} without role {missing.pop()} can't serve"
        if there and missing
        else ""
    )


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
    """DeepEP's low-latency kernels assert that a queue holds two entries a token, and two more."""
    for name, engine in recipe.engines.items():
        if (
            engine.all2all_backend != "deepep_low_latency"
            or not engine.token_budget
            or engine.is_one_rank
        ):
            continue
        needed, given = (
            2 * (engine.token_budget + 1),
            {**recipe.runtime.env, **engine.env}.get(QUEUE_DEPTH),
        )
        depth, seen = HIGHEST_QUEUE_DEPTH, f"an adapter's queue holds {HIGHEST_QUEUE_DEPTH}"
        if given and given.isdecimal():
            depth, seen = int(given), f"{QUEUE_DEPTH} is {given}"
        if needed > depth:
            asked = (
                f"engines.{name}: {engine.token_budget} batched tokens need a DeepEP queue of"
                f" {needed}"
            )
            return f"{asked}, and {seen}; max_num_batched_tokens may be {depth // 2 - 1}"
    return ""


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
    _hosts_are_dealt,
    _stack_can,
    _roles_complete,
    _replicas_have_names,
    _queues_are_deep,
    _spares_are_hosts,
)
