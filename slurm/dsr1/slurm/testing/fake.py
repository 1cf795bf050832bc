"""A Slurm of one machine for tests, yours too: sbatch, squeue, sacct, scancel, scontrol, srun as
programs, no daemon.

    fake = FakeSlurm(folder, nodes=("node1",))
    env["PATH"] = f"{fake.install()}:{env['PATH']}"

A submitted script runs at once, as this user, unless `fake.hold(reason)` keeps the queue shut.
Steps run here, whatever node they are for. What a program says is what Slurm 22.05 says; with
version="24.11" the JSON has that one's shapes, and `fake.configure(json=False)` has none.
`fake.configure(accounting="disabled")`, or "down": sacct knows nothing. Further: `default_time` of
a job, `most_time` of the partition, `unfit` nodes as {"node1": ("drained", "bad disk")}, and
`srun_options`, without which srun refuses a step; `cluster` as `scontrol show config` has it.
"""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOOLS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "srun")
FakeJob = dict[str, Any]


class FakeSlurm:
    """All of its state are JSON files in a folder."""

    def __init__(
        self, folder: Path, nodes: Sequence[str] = ("node1",), version: str = "22.05"
    ) -> None:
        self.folder = folder.absolute()
        self._defaults: dict[str, object] = {
            "nodes": list(nodes),
            "version": version,
            "partitions": ["gpu"],
        }
        self._defaults |= {"held": "", "refusal": "", "json": True, "accounting": ""}
        self._defaults |= {"default_time": "UNLIMITED", "most_time": "infinite", "unfit": {}}
        self._defaults |= {"srun_options": [], "cluster": "fake"}

    def install(self) -> Path:
        """Writes the programs; returns their folder, to be put first on PATH."""
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        (self.folder / "calls").touch()
        self._write("config", self._defaults)
        path = ":".join(sys.path)
        for tool in TOOLS:
            program = self.folder / "bin" / tool
            argv = (sys.executable, "-m", "dsr1.slurm.testing.programs", str(self.folder), tool)
            program.write_text(
                f'#!/bin/sh\nexec env PYTHONPATH={shlex.quote(path)} {shlex.join(argv)} "$@"\n'
            )
            program.chmod(0o755)
        return self.folder / "bin"

    def hold(self, reason: str) -> None:
        """Jobs wait from now on, for this reason."""
        self.configure(held=reason)

    def refuse(self, words: str) -> None:
        """sbatch refuses from now on, in these words of slurmctld's."""
        self.configure(refusal=words)

    def configure(self, **fields: object) -> None:
        self._write("config", self.config() | fields)

    def calls(self, program: str) -> list[str]:
        """Every call of a program so far."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.split()[0] == program]

    def config(self) -> dict[str, Any]:
        return self._read("config")

    def jobs(self) -> list[FakeJob]:
        return [self._read(path.stem) for path in sorted(self.folder.glob("job-*.json"))]

    def job(self, number: str) -> FakeJob:
        return self._read(f"job-{number}")

    def change(self, number: str, **fields: object) -> None:
        self._write(f"job-{number}", self.job(number) | fields)

    def add(self, job: FakeJob) -> str:
        """Its number."""
        number = str(len(list(self.folder.glob("job-*.json"))) + 1)
        self._write(f"job-{number}", job | {"job": number})
        return number

    def _read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found

    def _write(self, name: str, value: object) -> None:
        draft = self.folder / f".{name}.{os.getpid()}"
        draft.write_text(json.dumps(value))
        draft.replace(self.folder / f"{name}.json")
