"""Runs: a folder each, with the plan, the state and one folder a host. Written before anything is
started."""

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from dsr1.hosts.errors import InputError, LaunchFailed, RunNotFound
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.facts.fact import Facts, from_wire, to_plain
from dsr1.hosts.protocol.plain import from_plain
from dsr1.launcher.run.folder import LOCK, RunFolder
from dsr1.launcher.run.settings import RunSecrets, RunSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.smoke.access import NO_ACCESS, make_access
from dsr1.launcher.state_folder import RUN_NAME, claimed_ns, run_folders, state_folder
from dsr1.slurm.handle import parse_handle

if TYPE_CHECKING:
    from dsr1.launcher.plan.plan import Plan, ServiceTarget
    from dsr1.launcher.recipe.models import Recipe

_RUN_ID = "run-id"
_RESERVE, _RESERVE_BYTES = ".reserve", 128 * 2**10


class Run(RunFolder):
    """One run's folder, and what lies in it."""

    _claimed = ""  # the identity, where this very object has claimed it

    def claim(self, recipe: "Recipe", phase: str) -> None:
        """Refuses a name that is taken; mkdir decides between two launches at once."""
        with self.written_whole():
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(mode=0o700)
            (self.folder / "discovery").mkdir()
            (self.folder / _RESERVE).write_bytes(b"\0" * _RESERVE_BYTES)
            (self.folder / LOCK).touch(mode=0o600)
            self.save_schema()
            write_file(self.folder / _RUN_ID, (run_id := new_run_id()).encode())
            self._claimed = run_id
            self._write("recipe.json", recipe.model_dump())
            (self.folder / "secrets").mkdir(mode=0o700)
            self.save(RunState(phase, time.time()))

    def discard(self) -> None:
        """As if it had never been claimed: at once, and then file by file. What was claimed here,
        and is another run's by now, is left alone."""
        if self._claimed and not self.is_still(self._claimed):
            return
        gone = self.folder.with_name(f".{self.name}.{os.getpid()}")
        try:
            self.folder.rename(gone)
        except OSError:
            gone = self.folder
        shutil.rmtree(gone, ignore_errors=True)

    def discard_remains(self) -> None:
        """What agents on this machine put back into a folder that was removed; one that another run
        has made there since is left alone."""
        if not (self.folder / _RUN_ID).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def fill(self, plan: "Plan", settings: RunSettings, kept: RunSecrets) -> None:
        """What is known once the hosts are."""
        for name, text in kept.secrets.items():
            write_file(self.folder / "secrets" / name, text.encode())
        self.save_facts(kept.facts)
        self.save_plan(plan)
        self.save_settings(settings)

    @contextmanager
    def written_whole(self) -> Iterator[None]:
        """A run that there is no room for is none."""
        try:
            yield
        except FileExistsError:
            raise InputError(
                f"--name {self.name}: there is a run of that name{self._remedy()}"
            ) from None
        except OSError as error:
            self.discard()
            raise LaunchFailed(
                f"{self.folder}: can't be written: {error.strerror}. Nothing was started"
            ) from None

    def _remedy(self) -> str:
        """Of a name that is taken."""
        try:
            over = self.state().ended
        except LaunchFailed:
            over = False
        return (
            f", which has ended: `dsr1 rm {self.name}`, or launch with --replace"
            if over
            else "; `dsr1 ps` lists them"
        )

    def run_id(self) -> str:
        """Its identity, which the name is not: 128 random bits in hex, made with the claim and
        never again."""
        return self._read_text(_RUN_ID, _parse_run_id)

    def plan(self) -> "Plan":
        from dsr1.launcher.plan.plan import Plan  # who asks for a state alone needs no plan

        return self._read("plan.json", Plan)

    def host_names(self) -> tuple[str, ...]:
        """As planned: a whole plan takes long to read."""
        return self._read_json("plan.json", _parse_host_names)

    def service(self) -> "ServiceTarget":
        return self._read_json("plan.json", _parse_service)

    def secrets(self) -> dict[str, str]:
        """By file name."""
        return {file.name: file.read_text() for file in (self.folder / "secrets").glob("[!.]*")}

    def drop_secrets(self) -> None:
        """Its hosts have dropped theirs, too: nothing of it is alive."""
        shutil.rmtree(self.folder / "secrets", ignore_errors=True)

    def facts(self) -> dict[str, Facts]:
        """Of the hosts and spares, by host: from before the launch; of a spare that has taken a
        place, from then."""
        return self._read_json("facts.json", _parse_facts)

    def is_still(self, run_id: str) -> bool:
        """Whether its folder is there and that run's: somebody may have removed it, and another
        run may have taken the name. A file system that fails says nothing, nor does an identity
        that couldn't be read (empty)."""
        if not run_id:
            return self.folder.exists()
        try:
            return (self.folder / _RUN_ID).read_text() == run_id
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def is_anothers(self, run_id: str) -> bool:
        """Whether another run has taken the name meanwhile."""
        return (self.folder / _RUN_ID).exists() and not self.is_still(run_id)

    def kept_files(self) -> dict[str, str]:
        """What its folder can be rebuilt from, by name; its hosts keep it."""
        names = (_RUN_ID, "recipe.json", "plan.json", "settings.json", "facts.json")
        return {name: (self.folder / name).read_text() for name in names}

    def write_kept(self, name: str, text: str) -> None:
        """One of those files, or a secret."""
        write_file(self.folder / name, text.encode())

    def claimed_at(self) -> float:
        """Seconds since the epoch."""
        return claimed_ns(self.folder) / 1e9

    def is_planned(self) -> bool:
        """A launch that is still asking its hosts has written nothing of them down yet."""
        return any((self.folder / name).exists() for name in ("plan.json", "settings.json"))

    def is_remote(self) -> bool:
        """Whether it runs on hosts over SSH. A run whose settings can't be read counts as local."""
        try:
            return bool(self.settings().hosts)
        except LaunchFailed:
            return False

    def is_queued(self) -> bool:
        """Whether it waits for a job. A run whose state can't be read doesn't."""
        try:
            return self.state().phase == "queued"
        except LaunchFailed:
            return False

    def is_watched(self) -> bool:
        """Whether it has a supervisor, as far as can be told from here: neither a job's own nor
        one of another machine can be seen."""
        in_own_job = self.job() is not None and self.lent_allocation() is None
        return in_own_job or self.supervisor() is not None or bool(self.elsewhere())

    def settings(self) -> RunSettings:
        found = self._read("settings.json", RunSettings)
        return replace(found, access=make_access(found.chat_s, self.secrets()))

    def state(self) -> RunState:
        return self._read("state.json", RunState)

    def recipe(self) -> "Recipe":
        return self._read_json("recipe.json", _parse_recipe)

    def save_settings(self, settings: RunSettings) -> None:
        self._write("settings.json", {**asdict(settings), "access": asdict(NO_ACCESS)})

    def save_facts(self, facts: Mapping[str, Facts]) -> None:
        self._write("facts.json", {host: to_plain(own) for host, own in facts.items()})

    def save_plan(self, plan: "Plan") -> None:
        self._write("plan.json", asdict(plan))
        self._save_targets(plan)

    def save(self, state: RunState) -> None:
        """A state must be saved on a full disk too: the reserve that the run began with makes room
        for it."""
        try:
            self._write("state.json", asdict(state))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            (self.folder / _RESERVE).unlink(missing_ok=True)
            self._write("state.json", asdict(state))


def new_run_id() -> str:
    return secrets.token_hex(16)


def _parse_run_id(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{32}", text):
        raise ValueError("it holds 32 hexadecimal digits")
    return text


def _parse_host_names(plain: object) -> tuple[str, ...]:
    rows = _part_of_plan(plain, "hosts")
    named = isinstance(rows, list) and all(isinstance(one, dict) for one in rows)
    hosts = [one.get("host") for one in rows] if named else rows
    return from_plain(tuple[str, ...], hosts, "hosts")


def _parse_service(plain: object) -> "ServiceTarget":
    from dsr1.launcher.plan.plan import ServiceTarget

    return from_plain(ServiceTarget, _part_of_plan(plain, "service"), "service")


def _part_of_plan(plain: object, name: str) -> Any:
    """ValueError: it has none."""
    if not isinstance(plain, dict) or name not in plain:
        raise ValueError(f"a plan with {name} is wanted")
    return plain[name]


def _parse_recipe(plain: object) -> "Recipe":
    from dsr1.launcher.recipe.models import Recipe

    return Recipe.model_validate_json(json.dumps(plain))


def _parse_facts(plain: object) -> dict[str, Facts]:
    if not isinstance(plain, dict):
        raise ValueError("facts by host are wanted")
    return {str(host): from_wire(own) for host, own in plain.items()}


def list_runs() -> list[Run]:
    """All runs, the newest last."""
    return [Run(folder) for folder in run_folders()]


def new_run(name: str) -> Run:
    if not RUN_NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r}: must be letters, digits, - and _, at most 63, for example r1-prod"
        )
    return Run(state_folder() / "runs" / name)


def find_run(name: str | None) -> Run:
    """By name, by its job's handle, or the newest. Raises RunNotFound naming those that exist."""
    runs = list_runs()
    if name is None:
        found = runs[-1:]
    else:
        handle = parse_handle(name)
        found = [run for run in runs if run.name == name or (handle and run.job() == handle)]
    if found:
        return found[0]
    shown = name if name is None or RUN_NAME.fullmatch(name) else repr(name)
    known = ", ".join(run.name for run in runs[-8:])
    more = f"runs: {known}" if known else "`dsr1 launch` starts one"
    raise RunNotFound(f"no run {shown or 'yet'}; {more}")
