"""The frontend service to the recipe's `frontend`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.command import Program, short
from dsr1.launcher.importing.manifest.environment import Setting
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import FLAGS as LEFT_OUT
from dsr1.launcher.importing.manifest.tree import Place
from dsr1.launcher.importing.manifest.variables import READY, Taken
from dsr1.launcher.importing.vllm.arguments import (
    Flag,
    Known,
    joined,
    known_flags,
    parse_flags,
    repeated,
)
from dsr1.launcher.importing.vllm.engine_flags import argument_value
from dsr1.launcher.importing.vllm.numbers import parse_count

_KEYS = {"http-host": "host", "http-port": "port", "router-mode": "router_mode"}


@dataclass(slots=True)
class FrontendDraft:
    """`values` are the recipe's keys so far; `unknown` are flags that nobody knows."""

    source: str
    ledger: Ledger
    values: dict[str, Any] = field(default_factory=dict)
    args: dict[str, Any] = field(default_factory=dict)
    unknown: list[Flag] = field(default_factory=list)

    def put(self, key: str, text: str, places: tuple[Place, ...]) -> None:
        count = parse_count(text) if key == "port" else None
        if key == "port" and count is None:
            place = places[0]
            raise InputError(
                f"{self.source}:{place.line}: {place}: port {short(text)}: a number is wanted"
            )
        self.values[key] = count or text
        self.ledger.use(f"frontend.{key}", *places)


def read_frontend(draft: FrontendDraft, program: Program, taken: Taken) -> None:
    """Fill the draft. Raises InputError for values that can't be."""
    known = known_flags("frontend")
    parsed = parse_flags(program.arguments, known)
    _take_variables(draft, taken)
    for flag in repeated(parsed.flags):
        draft.ledger.leave(
            f"--{flag.name} {short(flag.text)}: given again later, which counts", *flag.places
        )
    for flag in joined(parsed.flags):
        _take(draft, flag, known)
    for stray in parsed.strays:
        draft.ledger.ask(
            f"{short(stray.text)}: belongs to no flag of the frontend",
            "frontend.args",
            *stray.places,
        )


def take_special(draft: FrontendDraft, special: Mapping[str, Setting]) -> None:
    """Variables that a key of the recipe's frontend says."""
    for key in special.keys() - {READY}:
        draft.put(key, special[key].value or "", special[key].places)


def _take_variables(draft: FrontendDraft, taken: Taken) -> None:
    take_special(draft, taken.special)
    if READY in taken.special:
        draft.ledger.leave(f"{taken.special[READY].name}: of workers", *taken.special[READY].places)
    for setting in taken.retired.values():
        draft.ledger.leave(f"{setting.name}: of workers, and no longer read", *setting.places)
    if taken.env:
        draft.values["env"] = taken.env


def _take(draft: FrontendDraft, flag: Flag, known: Known) -> None:
    if flag.unknown:
        text = f"--{flag.name} {short(flag.text)}: what it stands for is not in the manifest"
        draft.ledger.ask(text, "frontend", *flag.places)
    elif flag.name in LEFT_OUT:
        draft.ledger.leave(f"--{flag.name}: {LEFT_OUT[flag.name]}", *flag.places)
    elif flag.name in _KEYS:
        draft.put(_KEYS[flag.name], flag.text, flag.places)
    elif flag.name in known.kinds:
        draft.args[flag.name] = argument_value(flag)
        draft.ledger.use(f"frontend.args.{flag.name}", *flag.places)
    else:
        draft.unknown.append(flag)
