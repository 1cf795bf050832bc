"""AIConfigurator in an environment of its own (851 MB): asked by a process that stays up, since an
import takes seconds."""

import json
import math
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.benchmark.tools import OwnTool
from dsr1.launcher.tuning.prediction.predictor import StepQuestion, StepTime

VERSION = "0.12.0"
SYSTEMS = {"h100": "h100_sxm", "h200": "h200_sxm"}
MODEL = "deepseek-ai/DeepSeek-R1"
AICONFIGURATOR_TOOL = OwnTool(
    "aiconfigurator", VERSION, ("-I", "-c", "import aiconfigurator.cli.api"), "851 MB"
)
_WORKER = Path(__file__).with_name("worker.py")
_MOST_S = 1800.0


class Aiconfigurator:
    """`python` is its environment's."""

    def __init__(self, python: Path, gpu: str, model: str = MODEL) -> None:
        self._python, self._system, self._model = python, SYSTEMS[gpu], model
        self.source = f"aiconfigurator {VERSION}, {self._system}"

    def ask(self, questions: Sequence[StepQuestion]) -> list[StepTime]:
        """LaunchFailed: it ended before it had answered all."""
        lines = [self._line(question) for question in questions]
        try:
            done = subprocess.run(
                (str(self._python), "-I", str(_WORKER)),  # nothing beside the script is imported
                input="\n".join(lines) + "\n",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_MOST_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LaunchFailed(f"{self._python}: {error}") from None
        answers = list(_parsed(done.stdout))
        if len(answers) != len(questions):
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise LaunchFailed(
                f"{self.source}: {len(answers)} of {len(questions)} questions answered: {last}"
            )
        return answers

    def _line(self, question: StepQuestion) -> str:
        return json.dumps({**asdict(question), "model": self._model, "system": self._system})


def _parsed(text: str) -> Iterator[StepTime]:
    for line in text.splitlines():
        try:
            told: Any = json.loads(line)
            ms = told.get("ms")
        except (ValueError, AttributeError, RecursionError):
            yield f"no answer: {line[:200]!r}"
            continue
        usable = isinstance(ms, float) and math.isfinite(ms) and ms > 0
        yield ms if usable else str(told.get("error") or f"{ms!r} is no time")


def find_aiconfigurator(folder: str) -> Path:
    """The Python of an environment. InputError: there is none."""
    python = Path(folder).expanduser() / "bin" / "python"
    if not python.is_file():
        raise InputError(
            f"--predictor {folder}: has no bin/python; an environment with aiconfigurator"
            f" {VERSION} is wanted, as `dsr1 tune --setup` makes one ({AICONFIGURATOR_TOOL.room})"
        )
    return python
