"""Results of a run, in its folder: a file each, numbered as they came."""

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.atomic import write_file
from dsr1.launcher.benchmark.point import BenchPoint
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.run.folder import read_own_file
from dsr1.launcher.run.store import Run

RESULTS = "bench"


class BenchResult(BaseModel):
    """What one call has measured of a run. `label`: another deployment than the run itself, as one
    that was started by hand."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    run_id: str
    recipe: str
    number: int
    points: tuple[BenchPoint, ...]
    label: str = ""

    @property
    def name(self) -> str:
        return f"{self.run}:{self.number}{f' ({self.label})' if self.label else ''}"


def save_result(
    run: Run, points: tuple[BenchPoint, ...], label: str = "", number: int = 0
) -> BenchResult:
    """Whole, in place of that `number`, or under the next. LaunchFailed: there is no room for
    it."""
    folder = run.folder / RESULTS
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        number = number or _claim(folder)
        plan = run.plan()
        result = BenchResult(
            run=run.name,
            run_id=plan.run_id,
            recipe=plan.recipe,
            number=number,
            points=points,
            label=label,
        )
        write_file(_file(folder, number), result.model_dump_json(indent=1).encode())
    except OSError as error:
        raise LaunchFailed(f"{folder}: the result can't be written: {error.strerror}") from None
    return result


class GrowingResult:
    """What one call measures, kept point by point: whatever ends it, what was measured stays."""

    def __init__(self, run: Run, label: str = "") -> None:
        self._run, self._label = run, label
        self.saved: BenchResult | None = None

    def add(self, point: BenchPoint) -> None:
        """LaunchFailed: there is no room for it."""
        before = self.saved
        points, number = (before.points, before.number) if before else ((), 0)
        self.saved = save_result(self._run, (*points, point), self._label, number)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.json"


def _claim(folder: Path) -> int:
    """Of two at once each gets its own."""
    number = max(_numbers(folder), default=0) + 1
    while True:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(_file(folder, number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return number
        number += 1


def _numbers(folder: Path) -> list[int]:
    return sorted(int(file.stem) for file in folder.glob("*.json") if file.stem.isdigit())


def read_results(run: Run) -> list[BenchResult]:
    """The oldest first; what can't be read, or is being written, is passed over."""
    found = []
    for number in _numbers(run.folder / RESULTS):
        with contextlib.suppress(OSError, ValueError):
            found.append(_read(_file(run.folder / RESULTS, number)))
    return found


def _read(file: Path) -> BenchResult:
    return BenchResult.model_validate_json(read_own_file(file))


def find_results(name: str) -> list[BenchResult]:
    """Of RUN all, of RUN:NUMBER that one, of a file what lies in it. InputError: there is none;
    RunNotFound."""
    if name.endswith(".json"):
        return [_read_file(Path(name))]
    run_name, _, number = name.partition(":")
    run = find_any(run_name or None)
    found = [one for one in read_results(run) if number in ("", str(one.number))]
    if not found:
        known = ", ".join(f"{run.name}:{one.number}" for one in read_results(run)) or "none"
        raise InputError(f"{name}: no result of `dsr1 bench`; there are {known}")
    return found


def _read_file(file: Path) -> BenchResult:
    try:
        return _read(file)
    except OSError as error:
        raise InputError(f"{file}: can't be read: {error.strerror}") from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        problem = f"{where}: {error.errors()[0]['msg']}".strip(": ")
        raise InputError(f"{file}: no result of `dsr1 bench`: {problem}") from None
    except ValueError as error:
        raise InputError(f"{file}: no result of `dsr1 bench`: {error}") from None
