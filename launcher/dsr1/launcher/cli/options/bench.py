"""What `dsr1 bench` is told of a load, of what counts as good, and of the driver."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.jobs.orders import VLLM_BENCH
from dsr1.launcher.benchmark.files import read_workload_file, refuse_unbounded
from dsr1.launcher.benchmark.measure import Criteria
from dsr1.launcher.benchmark.point import Sla
from dsr1.launcher.benchmark.workload import DATASET, TRACE, Workload, WorkloadFile, closed_loop
from dsr1.launcher.cli.options.durations import parse_span

MOST_POINTS, MOST_ROUNDS, MOST_CPU = 64, 100, 4096
OPEN_S, ROUNDS = 30.0, 4
"""Without --requests: so many seconds of a rate, so many rounds of requests at once."""


def _option(*flags: str, metavar: str, help: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(*flags, metavar=metavar, help=help)
    return found


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The loads, a point each."""

    isl: Annotated[
        int | None, _option("--isl", metavar="TOKENS", help="Tokens of each prompt.")
    ] = None
    osl: Annotated[
        int | None, _option("--osl", metavar="TOKENS", help="Tokens of each answer.")
    ] = None
    concurrency: Annotated[
        str,
        _option("--concurrency", metavar="N,N", help="Requests at once; a point for each number."),
    ] = ""
    rate: Annotated[
        str,
        _option("--rate", metavar="N,N", help="Requests a second, Poisson; a point for each."),
    ] = ""
    requests: Annotated[
        int | None,
        _option("--requests", metavar="N", help="Requests that count; default: by the load."),
    ] = None
    warmup: Annotated[
        int | None, _option("--warmup", metavar="N", help="Requests before those that count.")
    ] = None
    cooldown: Annotated[
        int | None, _option("--cooldown", metavar="N", help="Requests after those that count.")
    ] = None
    seed: Annotated[
        int, _option("--seed", metavar="N", help="Seed of prompts and arrival times.")
    ] = 0
    trace: Annotated[
        str, _option("--trace", metavar="FILE", help="A trace of Mooncake's form, replayed.")
    ] = ""
    dataset: Annotated[
        str, _option("--dataset", metavar="FILE", help="Prompts, a line of JSON each.")
    ] = ""
    rounds: Annotated[
        int, _option("--rounds", metavar="N", help="Measure every point N times.")
    ] = 1

    def workloads(self) -> tuple[Workload, ...]:
        """In the order in which they are measured; each with prompts of its own, as the prefix
        cache would know those of another. InputError names the option, or the file and line."""
        if not 1 <= self.rounds <= MOST_ROUNDS:
            raise InputError(f"--rounds {self.rounds}: must be from 1 to {MOST_ROUNDS}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed {self.seed}: must be from 0 to {2**31 - 1}")
        file = self._file()
        points = [self._workload(file, *load) for load in self._loads()] * self.rounds
        if len(points) > MOST_POINTS:
            raise InputError(f"{len(points)} points: one call measures {MOST_POINTS} at most")
        return tuple(replace(one, seed=self.seed + number) for number, one in enumerate(points))

    def _file(self) -> WorkloadFile | None:
        if self.trace and self.dataset:
            raise InputError("--trace and --dataset exclude each other: both say what is sent")
        if not self.trace and not self.dataset:
            return None
        kind = TRACE if self.trace else DATASET
        file = read_workload_file(kind, self.trace or self.dataset)
        refuse_unbounded(file, self.osl or 0)
        return file

    def _loads(self) -> Iterator[tuple[int | None, float | None]]:
        at_once = [int(one) for one in _numbers("--concurrency", self.concurrency, whole=True)]
        rates = _numbers("--rate", self.rate, whole=False)
        if rates and len(at_once) > 1:
            raise InputError("--concurrency: with --rate it bounds it, and is one number")
        if rates:
            yield from ((at_once[0] if at_once else None, rate) for rate in rates)
        else:
            yield from ((number, None) for number in at_once or (None,))

    def _workload(
        self, file: WorkloadFile | None, at_once: int | None, rate: float | None
    ) -> Workload:
        edge = 0 if file else closed_loop(1, 1, at_once or 1).warmup
        counted = self.requests
        if counted is None:
            counted = 0 if file else max(ROUNDS * (at_once or 1), math.ceil(OPEN_S * (rate or 0)))
        return Workload(
            self.isl or 0,
            self.osl or 0,
            at_once,
            rate,
            counted,
            edge if self.warmup is None else self.warmup,
            edge if self.cooldown is None else self.cooldown,
            self.seed,
            file,
        )


def _numbers(option: str, text: str, whole: bool) -> list[float]:
    """InputError: one of them is none, or not above 0."""
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            value = float(int(word)) if whole else float(word)
        except (ValueError, OverflowError):
            value = math.nan
        if not 0 < value < 1e6:
            kind = "a whole number" if whole else "a number"
            raise InputError(f"{option} {word}: must be {kind} above 0, as in {option} 1,8,64")
        found.append(value)
    return found


@dataclass(frozen=True, slots=True)
class CriteriaOptions:
    """What counts."""

    ttft: Annotated[
        str, _option("--ttft", metavar="SPAN", help="A good request's first token: 2s, 500ms.")
    ] = ""
    itl: Annotated[
        str, _option("--itl", metavar="SPAN", help="Its mean gap between tokens: 50ms.")
    ] = ""
    e2e: Annotated[str, _option("--e2e", metavar="SPAN", help="Its whole time: 30s.")] = ""
    max_errors: Annotated[
        float,
        _option("--max-errors", metavar="SHARE", help="Share of the requests that may fail."),
    ] = 0.01
    within: Annotated[
        str, _option("--within", metavar="SPAN", help="How long a point may take.")
    ] = "1h"

    def criteria(self) -> Criteria:
        """InputError names the option."""
        if not 0 <= self.max_errors < 1:
            raise InputError(f"--max-errors {self.max_errors:g}: must be from 0 to below 1")
        spans = (("--ttft", self.ttft), ("--itl", self.itl), ("--e2e", self.e2e))
        sla = Sla(*(parse_short_span(text, option) if text else None for option, text in spans))
        within_s = parse_span(self.within, "--within")
        return Criteria(sla if sla.limits else None, self.max_errors, within_s)


def parse_short_span(text: str, option: str) -> float:
    """In seconds, also of `50ms`. InputError names the option."""
    if not text.endswith("ms"):
        return parse_span(text, option)
    try:
        value = float(text.removesuffix("ms")) / 1000
    except ValueError:
        value = math.nan
    if not 0 < value < 86400:
        raise InputError(f"{option} {text}: must be a span of time: 50ms, 2s or 1m")
    return value


@dataclass(frozen=True, slots=True)
class DriverOptions:
    """Who sends it, and from where."""

    driver: Annotated[
        str, _option("--driver", metavar="DRIVER", help="vllm (of the runtime), or aiperf.")
    ] = VLLM_BENCH
    source: Annotated[
        str,
        _option(
            "--from", metavar="HOST", help="The host that load comes from; default: this machine."
        ),
    ] = ""
    url: Annotated[
        str,
        _option("--url", metavar="URL", help="Another server of the run's model, in its place."),
    ] = ""
    cpus: Annotated[
        str,
        _option("--cpus", metavar="LIST", help="CPUs of the driver: 0-3,8; default: chosen."),
    ] = ""

    def cpu_list(self) -> tuple[int, ...]:
        """InputError: it is none."""
        found: list[int] = []
        for part in filter(None, self.cpus.split(",")):
            first, _, last = part.partition("-")
            ends = (first, last or first)
            if not all(end.isdecimal() and int(end) < MOST_CPU for end in ends) or (
                int(ends[0]) > int(ends[1])
            ):
                raise InputError(f"--cpus {self.cpus}: must be CPUs as in 0-3,8")
            found += range(int(ends[0]), int(ends[1]) + 1)
        return tuple(dict.fromkeys(found))
