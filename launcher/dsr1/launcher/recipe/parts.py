"""The parts of a recipe beside its engines: the model, the runtime, the frontend, time limits,
and ports."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dsr1.launcher.recipe.containers import container_problem
from dsr1.launcher.recipe.types import (
    Arguments,
    Count,
    Environment,
    ListenAddress,
    NodeCount,
    PortNumber,
    RecipePart,
    Seconds,
    Size,
    Text,
)

R1_EXPERTS, LEAST_INTERVAL_S = 256, 0.2


class Model(RecipePart):
    """The weights: a folder on every host, or a hub id. `served_name` is the name that clients ask
    for.

    `experts` are the routed experts of a layer: read from config.json where that is at hand, known
    for R1 and V3. `reasoning_parser` is vLLM's or Dynamo's word for how thoughts are told from the
    answer.
    """

    path: Annotated[Text, Field(min_length=1)]
    served_name: Text | None = None
    experts: Count | None = None
    reasoning_parser: Text | None = None

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
    def has_r1_sizes(self) -> bool:
        """V3 is of the same architecture."""
        return self.is_r1 or self._is_named("deepseek-v3")

    @property
    def routed_experts(self) -> int | None:
        return self.experts or (R1_EXPERTS if self.has_r1_sizes else None)

    def _is_named(self, start: str) -> bool:
        """By its folder or its served name; the distilled ones are other models."""
        folder = self.path.rstrip("/").rsplit("/", 1)[-1]
        names = [folder.lower(), (self.served_name or "").rsplit("/", 1)[-1].lower()]
        return "distill" not in " ".join(names) and any(name.startswith(start) for name in names)


def _program_problem(python: str) -> str:
    """It is one program; several words would be taken for the name of one."""
    if problem := container_problem(python):
        return problem
    if python.split()[1:] and not python.startswith(("/", ".", "~", "$")):
        return f"{python!r}: must be one program, without arguments; `setup` has bash lines first"
    return ""


class Runtime(RecipePart):
    """The Python that has vLLM on every host: a `venv` folder or a `python` command. `setup`: bash
    lines first.

    `cache_dir` is a folder on each host's own disk for what is compiled there; by default one in
    /var/tmp. It is code: with `caches: own` none is carried between hosts, else from
    `cache_sources` alone, host names; by default from the first host of each kind.
    """

    python: Text | None = None
    venv: Text | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    setup: list[Text] = []
    cache_dir: Annotated[Text, Field(pattern=r"^/")] | None = None
    caches: Literal["shared", "own"] = "shared"
    cache_sources: list[Text] = []
    env: Environment = {}

    @model_validator(mode="after")
    def _one_of(self) -> "Runtime":
        if self.python and self.venv:
            raise ValueError("give python or venv, not both")
        if problem := _program_problem(self.python or ""):
            raise ValueError(f"python: {problem}")
        if problem := container_problem(self.venv or ""):
            raise ValueError(f"venv: {problem}")
        return self

    @property
    def interpreter(self) -> str:
        return f"{self.venv.rstrip('/')}/bin/python" if self.venv else self.python or "python3"


class ServerTls(RecipePart):
    """PEM files of the machine that launches: the certificate, with those between it and its
    authority, and its key, without a passphrase."""

    cert: Annotated[Text, Field(min_length=1)]
    key: Annotated[Text, Field(min_length=1)]


class Frontend(RecipePart):
    """Where clients connect. With stack `vllm` these are the engines' own API servers;
    `router_mode` has no meaning.

    `tls`: HTTPS alone. `api_key_file` holds what clients send as `Authorization: Bearer KEY`; only
    vLLM's own servers know such a key.

    `host` is the address to listen on; by default the first host's control address, and nothing
    more. Several `replicas` run on as many hosts and are reached at that one address, as several of
    vLLM's servers are.
    """

    host: ListenAddress | None = None
    port: PortNumber = 8000
    replicas: NodeCount = 1
    router_mode: Literal[
        "round-robin", "random", "power-of-two", "kv", "direct", "least-loaded"
    ] = "round-robin"
    tls: ServerTls | None = None
    api_key_file: Annotated[Text, Field(min_length=1)] | None = None
    args: Arguments = {}
    env: Environment = {}


class Scraping(RecipePart):
    """How `dsr1 metrics --serve` and `--up` let in who asks: by HTTPS alone with `tls`, and with
    user dsr1 and the one line of `password_file`; files of the machine that these run on."""

    tls: ServerTls | None = None
    password_file: Annotated[Text, Field(min_length=1)] | None = None


class Timeouts(RecipePart):
    """Seconds. `ready` bounds the whole start, `lost` how long a host may be out of reach, or its
    agent silent, `orphaned` how long agents go on without a supervisor, see Recipe's `orphans`.

    `drain` is how long requests have when an engine is ended on purpose. `importing`, `loading` and
    `compiling` bound a rank's stay in such phases without any progress.
    """

    prepare: Seconds = 60
    ready: Seconds = 5400
    importing: Seconds = 600
    loading: Seconds = 3600
    compiling: Seconds = 3600
    chat: Seconds = 120
    stop: Seconds = 10
    drain: Seconds = 60
    lost: Seconds = 60
    orphaned: Seconds = 600


class Etcd(RecipePart):
    """The user's own etcd, as URLs. Without it a run over several hosts starts one of its own on
    the first."""

    endpoints: list[Text] = []


class Restart(RecipePart):
    """What ended unasked is started again, `backoff` seconds later, `max` times at most; with
    `within`, so often in any such time: health earns them back. `scope`: the engine that ended,
    while the others serve on, or the whole deployment; by default the engine where there are
    several engines or frontends."""

    scope: Literal["engine", "deployment"] | None = None
    max: Annotated[int, Field(ge=0)] = 0
    backoff: Seconds = 10
    within: Seconds | None = None


class Health(RecipePart):
    """While it serves, every rank has to show within `every` that it is well: it makes progress, or
    answers. It is looked at `patience` times in that; so many bad looks in a row are a failure.
    `answers`: ranks that were idle are asked, too, and their answers compared."""

    every: Annotated[Seconds, Field(ge=1)] = 30
    patience: Annotated[int, Field(ge=1, le=100)] = 3
    answers: bool = True

    @model_validator(mode="after")
    def _not_all_the_time(self) -> "Health":
        if self.interval_s < LEAST_INTERVAL_S:
            wanted = f"{self.patience * LEAST_INTERVAL_S:g}s"
            raise ValueError(f"every must be {wanted} at least with patience {self.patience}")
        return self

    @property
    def interval_s(self) -> float:
        """Seconds from one look to the next."""
        return self.every / self.patience


class Hooks(RecipePart):
    """A command, as a list of its words, that is run when a phase begins, on the machine of the
    supervisor; it is ended after `timeout`."""

    ready: list[Text] = []
    degraded: list[Text] = []
    failed: list[Text] = []
    stopped: list[Text] = []
    timeout: Annotated[Seconds, Field(le=50)] = 20

    @property
    def commands(self) -> dict[str, tuple[str, ...]]:
        """By phase, of those that have one."""
        named = {
            "ready": self.ready,
            "degraded": self.degraded,
            "failed": self.failed,
            "stopped": self.stopped,
        }
        return {phase: tuple(words) for phase, words in named.items() if words}


class Logs(RecipePart):
    """A process's log holds `max` bytes at most; `keep` older parts of it stay beside it."""

    max: Size = 10**9
    keep: Annotated[int, Field(ge=1, le=1000)] = 2


class Ports(RecipePart):
    """Every port that dsr1 chooses is `base` or a little above it, and below the kernel's ephemeral
    range."""

    base: PortNumber = 20000
