"""The recipe: what to serve, as strict pydantic models of a YAML file. An unknown key is an error that names it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dsr1.env.caches import CACHE_KEY
from dsr1.launcher.flags import check_flag_names

Scalar = str | int | float | bool
Argument = Scalar | None | list[Scalar] | dict[str, Any]
Seconds = Annotated[float, Field(gt=0, strict=False)]
Count = Annotated[int, Field(gt=0)]
PortNumber = Annotated[int, Field(ge=1024, le=65535)]


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL byte can't be passed to a process")
    return value


Text = Annotated[str, AfterValidator(_no_nul)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
EnvValue = Annotated[Text, BeforeValidator(_text_of_number)]
Environment = dict[EnvName, EnvValue]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
Arguments = Annotated[dict[str, Argument], AfterValidator(check_flag_names)]


class Part(BaseModel):
    """Every part of a recipe: strict, closed and frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class Model(Part):
    """The weights: a folder on every host, or a hub id. `served_name` is the name that clients ask for."""

    path: Annotated[Text, Field(min_length=1)]
    served_name: Text | None = None

    @property
    def name(self) -> str:
        return self.served_name or self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def is_folder(self) -> bool:
        return self.path.startswith(("/", "."))


class Runtime(Part):
    """The Python that has vLLM on every host: a `venv` folder or a `python` command. `setup`: bash lines first.

    `cache_dir` is a folder on each host's own disk for what is compiled there; by default one in /var/tmp.
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


class Frontend(Part):
    """Where clients connect. With stack `vllm` it is the leader's own API server and `router_mode` has no meaning.

    `host` is the address to listen on; by default the first host's control address, and nothing more.
    """

    host: Text | None = None
    port: PortNumber = 8000
    router_mode: Literal["round-robin", "random", "power-of-two", "kv", "direct", "least-loaded"] = "round-robin"
    args: Arguments = {}
    env: Environment = {}


class Eplb(Part):
    """Expert load balancing; field names are those of vLLM's --eplb-config."""

    window_size: Count = 1000
    step_interval: Count = 3000
    num_redundant_experts: Annotated[int, Field(ge=0)] = 0
    log_balancedness: bool = False


class Dbo(Part):
    """Dual batch overlap: the fewest tokens of a batch that is split in two."""

    decode_token_threshold: Annotated[int, Field(ge=2)] = 32
    prefill_token_threshold: Annotated[int, Field(ge=2)] = 512


class Engine(Part):
    """One DEP group: ranks that live and die together, spread over `nodes` hosts.

    `cache_key` names a JIT cache to use and fill, instead of the one that follows from what the engine is.
    """

    role: Literal["aggregated", "prefill", "decode"] = "aggregated"
    layout: Literal["per_node", "per_gpu", "headless"] = "per_node"
    nodes: Count | Literal["all"] = "all"
    ranks_per_node: Count | None = None
    tensor_parallel_size: Count = 1
    data_parallel_size: Count | Literal["all"] = "all"
    expert_parallel: bool = True
    eplb: Eplb | None = None
    dbo: Dbo | None = None
    all2all_backend: Text | None = None
    max_model_len: Count | None = None
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    enforce_eager: bool = False
    cache_key: Annotated[str, Field(pattern=CACHE_KEY)] | None = None
    args: Arguments = {}
    env: Environment = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Engine":
        tokens = self.token_budget
        if self.max_num_seqs and tokens and tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens is {tokens}, vLLM wants at least max_num_seqs ({self.max_num_seqs})"
            )
        if self.eplb and not self.expert_parallel:
            raise ValueError("eplb needs expert_parallel: true")
        return self

    @property
    def token_budget(self) -> int | None:
        """Tokens per step and rank, where it is known: vLLM takes 256 with the low-latency backends."""
        low_latency = self.all2all_backend in ("deepep_low_latency", "nixl_ep")
        return self.max_num_batched_tokens or (256 if low_latency else None)


class Timeouts(Part):
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


class Etcd(Part):
    """The user's own etcd, as URLs. Without it a run over several hosts starts one of its own on the first."""

    endpoints: list[Text] = []


class Restart(Part):
    """After an unasked end the whole deployment is started again, `max` times at most, `backoff` seconds later."""

    max: Annotated[int, Field(ge=0)] = 0
    backoff: Seconds = 10


class Ports(Part):
    """Every port that dsr1 chooses is `base` or a little above it, and below the kernel's ephemeral range."""

    base: PortNumber = 20000


def _no_number(value: object) -> object:
    if isinstance(value, int):
        raise ValueError('put it in quotes, "4:00:00": YAML reads a bare 4:00:00 as a number')
    return value


class Slurm(Part):
    """How a job is asked for; keys are sbatch's own options, `directives` any further ones.

    `nodes` is for engines that take all, `spares` are nodes beyond those. `warn` seconds before the time limit the
    deployment stops cleanly, and is submitted again `resubmit` times. `setup`: bash lines first (modules).
    """

    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    reservation: Text | None = None
    time: Annotated[Text, BeforeValidator(_no_number)] | None = None
    nodes: Count | None = None
    spares: Annotated[int, Field(ge=0)] = 0
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


class Recipe(Part):
    """A whole recipe."""

    name: Name
    description: Text = ""
    model: Model
    runtime: Runtime = Runtime()
    stack: Literal["dynamo", "vllm", "mocker"] = "dynamo"
    frontend: Frontend = Frontend()
    engines: Annotated[dict[Name, Engine], Field(min_length=1)]
    timeouts: Timeouts = Timeouts()
    restart: Restart = Restart()
    spares: list[Text] = []
    ports: Ports = Ports()
    etcd: Etcd = Etcd()
    security: Literal["tls", "off"] = "tls"
    slurm: Slurm = Slurm()

    @model_validator(mode="after")
    def _engines_fit(self) -> "Recipe":
        greedy = [name for name, engine in self.engines.items() if engine.nodes == "all"]
        if len(greedy) > 1:
            raise ValueError(f"engines {', '.join(greedy)} all take nodes: all; give a number to all but one")
        if self.stack == "vllm" and len(self.engines) > 1:
            raise ValueError("stack vllm serves one engine; several need stack dynamo")
        return self
