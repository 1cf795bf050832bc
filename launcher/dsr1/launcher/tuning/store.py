"""A tuning's folder: what was asked, what may be tried, what was predicted, each point that was
measured, and the answer. Every file is there whole or not at all."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.atomic import write_file
from dsr1.launcher.locks import locked
from dsr1.launcher.state_folder import state_folder
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.goal import Figures
from dsr1.launcher.tuning.prediction.table import TimeTable
from dsr1.launcher.tuning.question import TuneQuestion
from dsr1.launcher.tuning.search import Outcome, Sweep, Task
from dsr1.launcher.tuning.space import Space

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prediction:
    """`tables` by mapping; `refused`: why others have none. `curves` by candidate's name;
    `source` empty: nothing predicts."""

    source: str
    tables: Mapping[str, TimeTable]
    refused: Mapping[str, str]
    curves: Mapping[str, tuple[Figures, ...]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is measured, in this order."""

    candidates: tuple[Candidate, ...]
    sweeps: tuple[Sweep, ...]


@dataclass(frozen=True, slots=True)
class SavedPoint:
    """`bench` is what the driver made of it, as JSON; `launch_s` of a point that was the first of
    its launch. `number`: its place among the measured."""

    outcome: Outcome
    took_s: float
    launch_s: float = 0.0
    bench: str = ""
    number: int = 0


_QUESTION, _SPACE = TypeAdapter(TuneQuestion), TypeAdapter(Space)
_PREDICTION, _CHOSEN, _POINT = (
    TypeAdapter(Prediction),
    TypeAdapter(Chosen),
    TypeAdapter(SavedPoint),
)


def tunes_folder() -> Path:
    return state_folder() / "tunes"


@dataclass(frozen=True, slots=True)
class TuneFolder:
    path: Path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """InputError: another one works in it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.path / "lock"):
                yield
        except BlockingIOError:
            raise InputError(f"{self.path}: another dsr1 tune works there") from None

    @property
    def exists(self) -> bool:
        return (self.path / "question.json").exists()

    def question(self) -> TuneQuestion:
        return self._read("question.json", _QUESTION)

    def save_question(self, question: TuneQuestion) -> None:
        self._write("question.json", _QUESTION, question)

    def save_space(self, space: Space) -> None:
        self._write("space.json", _SPACE, space)

    def prediction(self) -> Prediction | None:
        """None: not yet asked."""
        there = (self.path / "predicted.json").exists()
        return self._read("predicted.json", _PREDICTION) if there else None

    def save_prediction(self, prediction: Prediction) -> None:
        self._write("predicted.json", _PREDICTION, prediction)

    def chosen(self) -> Chosen | None:
        there = (self.path / "chosen.json").exists()
        return self._read("chosen.json", _CHOSEN) if there else None

    def save_chosen(self, chosen: Chosen) -> None:
        self._write("chosen.json", _CHOSEN, chosen)

    def points(self) -> list[SavedPoint]:
        """In the order that they were measured in. A half-written folder is none."""
        files = sorted(self.path.glob("points/*/point.json"))
        return sorted((self._parsed(one, _POINT) for one in files), key=lambda one: one.number)

    def save_point(self, key: str, point: SavedPoint, recipe: str) -> None:
        """The recipe first: a point is there once its own file is."""
        with self._writing():
            folder = self.path / "points" / key
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / "recipe.yaml", recipe.encode())
            write_file(folder / "point.json", _POINT.dump_json(point, indent=1))

    def running(self) -> str:
        """The run that was started last and isn't known to have ended; empty: none."""
        with contextlib.suppress(FileNotFoundError):
            return (self.path / "running").read_text().strip()
        return ""

    def save_running(self, run: str) -> None:
        self.write_text("running", run)

    def write_text(self, name: str, text: str) -> None:
        with self._writing():
            write_file(self.path / name, text.encode())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LaunchFailed(f"{self.path}: can't be written: {error.strerror}") from None

    def _write(self, name: str, form: TypeAdapter[T], value: T) -> None:
        with self._writing():
            write_file(self.path / name, form.dump_json(value, indent=1))

    def _read(self, name: str, form: TypeAdapter[T]) -> T:
        return self._parsed(self.path / name, form)

    def _parsed(self, file: Path, form: TypeAdapter[T]) -> T:
        try:
            return form.validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise InputError(f"{file}: can't be read: {first}; use another --name") from None


def point_key(question: TuneQuestion, recipe: str, task: Task) -> str:
    """Of all that decides what comes out: plan, load, versions, GPU, model."""
    goal = asdict(question.goal)
    parts = (recipe, question.hosts, question.gpu, question.versions, goal, question.rehearsed)
    text = json.dumps([*parts, task.concurrency, task.repeat], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
