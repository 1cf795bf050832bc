"""The load drivers: the command of each, and what it needs. Pure. A new one is a class and a row
here, and a reader of its results in dsr1.hosts.agent.driving."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.hosts.protocol.jobs.orders import (
    AIPERF,
    AIPERF_RESULTS,
    DRIVER_FOLDER,
    VLLM_BENCH,
    VLLM_RESULT,
    DriveOrder,
)
from dsr1.launcher.benchmark.files import BLOCK, render_dataset, render_trace
from dsr1.launcher.benchmark.workload import TRACE, Workload

TRACE_FILE, DATASET_FILE = "trace.jsonl", "dataset.jsonl"
AIPERF_VERSION = "0.13.0"
_WITHOUT_OURS = ("env", "-u", "PYTHONPATH")  # in a job's step dsr1's own modules may be there
PER_WORKER, MOST_WORKERS = 100, 16  # requests at once of one of AIPerf's processes


@dataclass(frozen=True, slots=True)
class BenchTarget:
    """What is asked: `url` without /v1. `tokenizer` is a folder of the host that load comes from,
    or a hub's id; DRIVER_FOLDER: its `files`, by name, are sent there. `certificate`: the one that
    the frontend shows, as PEM; empty: plain HTTP. `env`: what the runtime needs."""

    url: str
    model: str
    tokenizer: str
    gpus: int = 0
    max_model_len: int | None = None
    certificate: str = ""
    api_key: str = field(default="", repr=False)
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local_tokenizer(self) -> bool:
        return self.tokenizer.startswith(("/", ".", DRIVER_FOLDER))


class BenchDriver(ABC):
    """`program` is what stands first in its command: the runtime's Python, or AIPerf."""

    name = ""

    def __init__(self, program: str, version: str = "") -> None:
        self.program, self.version = program, version

    @abstractmethod
    def argv(self, target: BenchTarget, workload: Workload) -> tuple[str, ...]:
        """InputError: it can't send this."""

    @abstractmethod
    def env(self, target: BenchTarget, workload: Workload) -> dict[str, str]: ...

    @abstractmethod
    def files(self, workload: Workload) -> dict[str, str]:
        """By name."""

    def order(
        self,
        target: BenchTarget,
        workload: Workload,
        within_s: float,
        run_id: str = "",
        cpus: tuple[int, ...] = (),
    ) -> DriveOrder:
        """For the host that load comes from."""
        files = {**target.files, **self.files(workload)}
        if target.certificate:
            files[FRONTEND_CERT] = target.certificate
        return DriveOrder(
            self.name,
            self.argv(target, workload),
            self.env(target, workload),
            files,
            workload.total,
            within_s,
            run_id,
            cpus,
        )


class VllmBench(BenchDriver):
    """`vllm bench serve` of a runtime."""

    name = VLLM_BENCH

    def argv(self, target: BenchTarget, workload: Workload) -> tuple[str, ...]:
        ours = () if "PYTHONPATH" in target.env else _WITHOUT_OURS
        command = (*ours, self.program, "-m", "vllm.entrypoints.cli.main", "bench", "serve")
        flags: dict[str, object] = {
            "backend": "openai",
            "base-url": target.url,
            "endpoint": "/v1/completions",
            "model": target.model,
            "tokenizer": target.tokenizer,
            "num-prompts": workload.total,
            "seed": workload.seed,
            "temperature": 0,
            **_vllm_data(workload),
            "max-concurrency": workload.concurrency,
            "request-rate": workload.rate,
            "result-dir": DRIVER_FOLDER,
            "result-filename": VLLM_RESULT,
        }
        given = [word for pair in _flags(flags) for word in pair]
        switches = ["--ignore-eos", "--save-result", "--save-detailed"]
        if target.certificate and not target.api_key:
            switches.append("--insecure")  # its address is seldom in the certificate
        if workload.file and workload.file.kind != TRACE:
            switches += ["--skip-chat-template", "--disable-shuffle", "--no-oversample"]
        return (*command, *given, *switches)

    def env(self, target: BenchTarget, workload: Workload) -> dict[str, str]:
        """Its timed traces choose tokens by Python's hash of a text."""
        env = {"PYTHONHASHSEED": str(workload.seed), "VLLM_LOGGING_LEVEL": "WARNING"}
        if target.is_local_tokenizer:
            env["HF_HUB_OFFLINE"] = "1"
        return {**target.env, **env, **_common_env(target)}

    def files(self, workload: Workload) -> dict[str, str]:
        return _files(workload, ("prompt", "output_tokens"))


def _vllm_data(workload: Workload) -> dict[str, object]:
    if workload.file is None:
        return {
            "dataset-name": "random",
            "random-input-len": workload.isl,
            "random-output-len": workload.osl,
        }
    if workload.file.kind == TRACE:
        return {
            "dataset-name": "timed_trace",
            "dataset-path": f"{DRIVER_FOLDER}/{TRACE_FILE}",
            "timed-trace-chunk-hash-size": BLOCK,
            "timed-trace-sec-multiplier": 0.001,
        }
    return {
        "dataset-name": "custom",
        "dataset-path": f"{DRIVER_FOLDER}/{DATASET_FILE}",
        "custom-output-len": -1,
    }


class Aiperf(BenchDriver):
    """AIPerf, a command of an environment of its own."""

    name = AIPERF

    def argv(self, target: BenchTarget, workload: Workload) -> tuple[str, ...]:
        if target.api_key:
            raise InputError(
                "--driver aiperf: it takes an API key as an argument alone, which everybody on its"
                " host can read; use --driver vllm"
            )
        workers = min(MOST_WORKERS, 1 + (workload.concurrency or MOST_WORKERS) // PER_WORKER)
        flags: dict[str, object] = {
            "model-names": target.model,
            "url": target.url,
            "endpoint-type": "completions",
            "tokenizer": target.tokenizer,
            "request-count": workload.total,
            "random-seed": workload.seed,
            **_aiperf_data(workload),
            "concurrency": workload.concurrency,
            "request-rate": workload.rate,
            "workers-max": workers,
            "extra-inputs": json.dumps({"ignore_eos": True, "temperature": 0}),
            "output-artifact-dir": f"{DRIVER_FOLDER}/{AIPERF_RESULTS}",
            "export-level": "records",
            "ui-type": "none",
        }
        given = [word for pair in _flags(flags) for word in pair]
        # Of completions servers know max_tokens alone: without it an answer has 16.
        switches = ("--streaming", "--use-legacy-max-tokens", *_AIPERF_SWITCHES)
        trace = workload.file is not None and workload.file.kind == TRACE
        return (
            *_AIPERF_COMMAND,
            self.program,
            "profile",
            *given,
            *switches,
            *(["--fixed-schedule"] * trace),
        )

    def env(self, target: BenchTarget, workload: Workload) -> dict[str, str]:
        return _common_env(target) | (
            {"AIPERF_HTTP_SSL_VERIFY": "false"} if target.certificate else {}
        )

    def files(self, workload: Workload) -> dict[str, str]:
        return _files(workload, ("text", "output_length"))


# Where HF_HUB_OFFLINE is set, to whatever, it takes no folder for a tokenizer.
_AIPERF_COMMAND = (*_WITHOUT_OURS, "-u", "HF_HUB_OFFLINE", "-u", "TRANSFORMERS_OFFLINE")
_AIPERF_SWITCHES = ("--use-server-token-count", "--no-gpu-telemetry", "--no-server-metrics")


def _aiperf_data(workload: Workload) -> dict[str, object]:
    """By default it would send some of 100 prompts again and again, which the prefix cache knows
    then."""
    if workload.file is None:
        return {
            "isl": workload.isl,
            "isl-stddev": 0,
            "osl": workload.osl,
            "osl-stddev": 0,
            "num-dataset-entries": workload.total,
        }
    trace = workload.file.kind == TRACE
    name, kind = (TRACE_FILE, "mooncake_trace") if trace else (DATASET_FILE, "single_turn")
    blocks = {"isl-block-size": BLOCK} if trace else {}
    return {
        "input-file": f"{DRIVER_FOLDER}/{name}",
        "custom-dataset-type": kind,
        "dataset-sampling-strategy": "sequential",
        **blocks,
    }


def _files(workload: Workload, keys: tuple[str, str]) -> dict[str, str]:
    if workload.file is None:
        return {}
    requests = workload.file.requests[: workload.total]
    if workload.file.kind == TRACE:
        return {TRACE_FILE: render_trace(requests)}
    return {DATASET_FILE: render_dataset(requests, workload.osl, keys)}


def _common_env(target: BenchTarget) -> dict[str, str]:
    """Past every proxy; the key is in no argument."""
    env = {"NO_PROXY": "*", "no_proxy": "*"}
    if target.certificate:
        env["SSL_CERT_FILE"] = f"{DRIVER_FOLDER}/{FRONTEND_CERT}"
    return env | ({"OPENAI_API_KEY": target.api_key} if target.api_key else {})


def _flags(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(f"--{name}", str(value)) for name, value in values.items() if value is not None]


DRIVERS: Mapping[str, type[BenchDriver]] = {one.name: one for one in (VllmBench, Aiperf)}
