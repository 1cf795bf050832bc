"""`make fuzz`: many inputs through every reader; 0 tracebacks, 0 over a second, 0 over 200 MB.

Each input has a number and is made from it alone: `--only READER --input NUMBER` repeats one.
"""

import argparse
import collections
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

from tests.fuzz.readers import READERS, FuzzedReader, read_one

MOST_S, MOST_BYTES, SLICE = 1.0, 200 << 20, 100


class TooSlow(BaseException):
    """More than MOST_S of processor time, so that a busy machine makes no difference."""


def _too_slow(*_: object) -> None:
    raise TooSlow


def judge(reader: FuzzedReader, number: int) -> str:
    """Empty: it was read, or refused as it may be; else what happened and where."""
    given = reader.make(Random(f"{reader.name} {number}"))
    signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, MOST_S)
    try:
        read_one(reader, given)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        signal.setitimer(signal.ITIMER_PROF, 0)
        return f"{type(error).__name__}: {str(error)[:80]!r} at {_place(error)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def _place(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/dsr1/" in f.filename]
    return " < ".join(f"{f.filename.rpartition('/dsr1/')[2]}:{f.lineno}" for f in frames[:-4:-1])


def judge_slice(reader: int, first: int, last: int) -> list[tuple[str, int, str]]:
    """In a process of its own, which may have so much more memory than it began with."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - as short as can be
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, -1))
    row = READERS[reader]
    found = ((row.name, number, judge(row, number)) for number in range(first, last))
    return [one for one in found if one[2]]


def run_all(inputs: int, seed: int, only: str) -> Iterator[tuple[str, int, str]]:
    chosen = [n for n, reader in enumerate(READERS) if not only or reader.name == only]
    each = -(-inputs // len(chosen))
    slices = [
        (reader, seed + at, seed + min(at + SLICE, each))
        for at in range(0, each, SLICE)
        for reader in chosen
    ]
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("fork"), max_tasks_per_child=None
    ) as pool:
        for found in pool.map(judge_slice, *zip(*slices, strict=True)):
            yield from found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=[reader.name for reader in READERS])
    parser.add_argument("--input", type=int)
    options = parser.parse_args()
    if options.input is not None:
        reader = next(one for one in READERS if one.name == options.only)
        read_one(reader, reader.make(Random(f"{reader.name} {options.input}")))
        return 0
    kinds: collections.Counter[str] = collections.Counter()
    for name, number, what in run_all(options.inputs, options.seed, options.only):
        kinds[what.partition(":")[0]] += 1
        print(f"{name} {number}: {what}", flush=True)
    print(f"{options.inputs} inputs: {sum(kinds.values())} defects {dict(kinds)}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
