"""What is sent to a deployment: how many requests, of what length, how many at once. Pure."""

from collections.abc import Iterator

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError

TRACE, DATASET = "trace", "dataset"
MOST_REQUESTS = 100_000
"""What one point may send: its times travel from the host in one answer."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A line of a file. `at_s`: when it is sent, from the first one on; `hash_ids` name blocks of
    its prompt, equal ones being equal text. A dataset's has a `prompt` instead, of as many tokens
    as it may have. `osl` 0: not said."""

    line: int
    isl: int = 0
    osl: int = 0
    at_s: float = 0.0
    hash_ids: tuple[int, ...] = ()
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadFile:
    """A trace of Mooncake's form, or a dataset of prompts."""

    kind: str
    path: str
    requests: tuple[FileRequest, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Tokens of each prompt and answer; requests at once, or a second (Poisson). Of all that are
    sent the first `warmup` and the last `cooldown` aren't counted: they fill the deployment before,
    and keep it full after. With a trace its own times say when."""

    isl: int = 0
    osl: int = 0
    concurrency: int | None = None
    rate: float | None = None
    requests: int = 0
    warmup: int = 0
    cooldown: int = 0
    seed: int = 0
    file: WorkloadFile | None = None

    @property
    def total(self) -> int:
        return self.warmup + self.counted + self.cooldown

    @property
    def counted(self) -> int:
        """Without a number, all that the file has left."""
        if self.requests or self.file is None:
            return self.requests
        return max(0, len(self.file.requests) - self.warmup - self.cooldown)

    def answer_length(self, number: int) -> int:
        """Tokens that request `number` asks for; 0: not known."""
        if self.osl or self.file is None:
            return self.osl
        asked = self.file.requests
        return asked[number % len(asked)].osl if asked else 0


def closed_loop(isl: int, osl: int, concurrency: int, rounds: int = 4, seed: int = 0) -> Workload:
    """So many rounds of requests at once are counted; half a round before fills the deployment,
    half a round after keeps it full."""
    edge = -(-concurrency // 2)
    return Workload(isl, osl, concurrency, None, rounds * concurrency, edge, edge, seed)


def check_workload(workload: Workload, max_model_len: int | None) -> None:
    """InputError: it can't be sent, in the words of the options that say it."""
    for problem in _problems(workload):
        raise InputError(problem)
    for problem in _too_long(workload, max_model_len):
        raise InputError(problem)


def _problems(one: Workload) -> Iterator[str]:
    if one.concurrency is not None and one.concurrency < 1:
        yield f"--concurrency {one.concurrency}: must be 1 at least"
    if one.rate is not None and not 0 < one.rate < float("inf"):
        yield f"--rate {one.rate:g}: must be above 0, in requests a second"
    if min(one.isl, one.osl, one.requests, one.warmup, one.cooldown, one.seed) < 0:
        yield "--isl, --osl, --requests, --warmup, --cooldown, --seed: none may be negative"
    if one.seed >= 2**32:
        yield f"--seed {one.seed}: must be below 2^32"
    yield from (_of_file(one) if one.file else _of_lengths(one))
    if one.total > MOST_REQUESTS:
        yield f"--requests: {one.total} would be sent; at most {MOST_REQUESTS} make one point"


def _of_lengths(one: Workload) -> Iterator[str]:
    if one.isl < 1 or one.osl < 1:
        yield "--isl and --osl: tokens of a prompt and of an answer are wanted, 1 at least of each"
    if one.concurrency is None and one.rate is None:
        yield "--concurrency or --rate is wanted: requests at once, or a second"
    if one.requests < 1:
        yield f"--requests {one.requests}: must be 1 at least"


def _of_file(one: Workload) -> Iterator[str]:
    assert one.file is not None
    name, lines = one.file.path, len(one.file.requests)
    if one.isl:
        yield f"--isl: {name} says how long its prompts are"
    if one.file.kind == TRACE and (one.osl or one.rate):
        yield f"--osl, --rate: {name} says how long its answers are, and when it is asked"
    if one.file.kind == DATASET and one.concurrency is None and one.rate is None:
        yield "--concurrency or --rate is wanted: requests at once, or a second"
    if one.counted < 1 or one.total > lines:
        sent = max(one.total, one.warmup + one.cooldown + 1)
        yield f"{name}: has {lines} requests, and {sent} are wanted, warm-up and cool-down included"


def _too_long(one: Workload, limit: int | None) -> Iterator[str]:
    if limit is None:
        return
    if one.isl + one.osl > limit:
        yield (
            f"--isl {one.isl} --osl {one.osl}: {one.isl + one.osl} tokens; the model takes"
            f" {limit} (max_model_len)"
        )
    for asked in one.file.requests if one.file else ():
        if asked.isl + (one.osl or asked.osl) > limit:
            yield (
                f"{one.file.path if one.file else ''}:{asked.line}:"
                f" {asked.isl + (one.osl or asked.osl)} tokens; the model takes {limit}"
                " (max_model_len)"
            )
