"""One envelope for every answer in JSON: what it is, the data, and what went wrong."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TextIO

from dsr1.hosts.dataclass import dataclass

SCHEMA = "dsr1/1"
"""Keys may be added within one schema; none is removed, and none gets another meaning."""
FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class AnswerError:
    """`host`: whose error it is, where it is one host's. `exit_code`: that of the whole verb, where
    this ended it."""

    message: str
    host: str = ""
    exit_code: int | None = None


class PendingAnswer:
    """What a verb will have answered: printed once, at its end, with the error that ended it."""

    def __init__(self) -> None:
        self._kind, self._errors = "", list[AnswerError]()
        self._data: object = None
        self._out: TextIO | None = None

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]

    @contextlib.contextmanager
    def in_place_of_words(self, wanted: bool) -> Iterator[None]:
        """Of a verb that always puts its answer: it is dropped, or else what the verb prints goes
        to stderr."""
        if not wanted:
            try:
                yield
            finally:
                self.forget()
            return
        self._out = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):
            yield

    @property
    def is_wanted(self) -> bool:
        """In the place of words."""
        return self._out is not None

    def tell_now(self) -> None:
        """Before the verb's end, where it is wanted."""
        if self.is_wanted:
            self.flush()

    def put(self, kind: str, data: object, errors: Iterable[AnswerError] = ()) -> None:
        self._kind, self._data = kind, plain(data)
        self._errors.extend(errors)

    def fail(self, message: str, exit_code: int) -> None:
        """The verb ends with this; without an answer of its own the answer is a failure."""
        self._kind = self._kind or FAILURE
        self._errors.append(AnswerError(message, exit_code=exit_code))

    def flush(self) -> None:
        """Prints it, if there is one, and forgets it."""
        kind, data, errors, out = self._kind, self._data, self._errors, self._out
        self.forget()
        if kind:
            indent = None if is_asked_for("--ndjson") else 2
            print(render_envelope(kind, data, errors, indent), file=out or sys.stdout, flush=True)


ANSWER = PendingAnswer()


def render_envelope(
    kind: str, data: object, errors: Iterable[AnswerError] = (), indent: int | None = 2
) -> str:
    failed = [asdict(one) for one in errors]
    whole = {"schema": SCHEMA, "kind": kind, "data": plain(data), "errors": failed}
    return json.dumps(whole, indent=indent)


def print_line(kind: str, data: object) -> None:
    """Of a stream: an envelope on a line of its own."""
    print(render_envelope(kind, data, indent=None), flush=True)


def plain(value: object) -> object:
    """Dataclasses as JSON's values, at any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def iso_time(epoch_s: float | None) -> str | None:
    """`2026-11-26T21:00:48Z`."""
    if not epoch_s:
        return None
    try:
        moment = datetime.fromtimestamp(epoch_s, UTC)
    except (ValueError, OverflowError, OSError):  # what a file says may be no time
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def wants_json() -> bool:
    """Whether this call is to answer in JSON, also where it fails before its options are read."""
    return is_asked_for("--json") or is_asked_for("--ndjson")


def is_asked_for(option: str) -> bool:
    words = sys.argv[1:]
    return option in (words[: words.index("--")] if "--" in words else words)
