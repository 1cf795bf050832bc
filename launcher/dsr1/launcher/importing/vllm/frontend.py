"""The frontend service to the recipe's `frontend`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsr1.launcher.importing.manifest.environment import ContainerVariable
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import FLAGS as LEFT_OUT
from dsr1.launcher.importing.manifest.program import Program
from dsr1.launcher.importing.manifest.tree import Place, refuse
from dsr1.launcher.importing.manifest.variables import READY, SortedVariables
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.arguments import (
    Flag,
    KnownFlags,
    joined,
    known_flags,
    note_repeated,
    parse_flags,
)
from dsr1.launcher.importing.vllm.flag_handlers import argument_value
from dsr1.launcher.importing.vllm.numbers import parse_count

_KEYS = {"http-host": "host", "http-port": "port", "router-mode": "router_mode"}


@dataclass(slots=True)
class FrontendDraft:
    """`values` are the recipe's keys so far; `unknown` are flags that nobody knows."""

    ledger: Ledger
    values: dict[str, Any] = field(default_factory=dict)
    args: dict[str, Any] = field(default_factory=dict)
    unknown: list[Flag] = field(default_factory=list)

    def put(self, key: str, text: str, places: tuple[Place, ...]) -> None:
        count = parse_count(text) if key == "port" else None
        if key == "port" and count is None:
            refuse(places[0], f"port {quoted(text)} must be a number")
        self.values[key] = count or text
        self.ledger.use(f"frontend.{key}", *places)


def read_frontend(draft: FrontendDraft, program: Program, variables: SortedVariables) -> None:
    """Fill the draft. Raises InputError for values that can't be."""
    known = known_flags("frontend")
    parsed = parse_flags(program.arguments, known)
    _take_variables(draft, variables)
    note_repeated(parsed.flags, draft.ledger)
    for flag in joined(parsed.flags):
        _take(draft, flag, known)
    for stray in parsed.strays:
        text = f"{quoted(stray.text)}: belongs to no flag of the frontend"
        draft.ledger.ask(text, "frontend.args", *stray.places)


def take_special(draft: FrontendDraft, special: Mapping[str, ContainerVariable]) -> None:
    """Variables that a key of the recipe's frontend says."""
    for key in special.keys() - {READY}:
        draft.put(key, special[key].value or "", special[key].places)


def _take_variables(draft: FrontendDraft, variables: SortedVariables) -> None:
    take_special(draft, variables.special)
    if READY in variables.special:
        ready = variables.special[READY]
        draft.ledger.leave(f"{ready.name}: only workers read it", *ready.places)
    for variable in variables.retired.values():
        text = f"{variable.name}: only workers read it, and no longer today"
        draft.ledger.leave(text, *variable.places)
    if variables.env:
        draft.values["env"] = variables.env


def _take(draft: FrontendDraft, flag: Flag, known: KnownFlags) -> None:
    if flag.unknown:
        text = f"--{flag.name} {quoted(flag.text)}: what it stands for is not in the manifest"
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
