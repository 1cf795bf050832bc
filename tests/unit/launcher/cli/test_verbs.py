"""The table of verbs is what the modules say, each verb is loaded alone, and its options are the
same for every typer."""

import inspect
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

import dsr1.launcher.cli
from dsr1.launcher.cli.app import app, load_function
from dsr1.launcher.cli.options.bundles import spread_bundles
from dsr1.launcher.cli.verbs import OPTIONS, VERBS, Verb, render_help

FOLDER = Path(dsr1.launcher.cli.__file__).parent
SHARED = {"__init__", "app", "bundles", "main", "options", "recipe_options", "verbs"}


def all_verbs(verbs: tuple[Verb, ...] = VERBS) -> Iterator[Verb]:
    for verb in verbs:
        yield from all_verbs(verb.verbs) if verb.verbs else (verb,)


EVERY = list(all_verbs())


@pytest.mark.parametrize("verb", EVERY, ids=lambda verb: verb.target)
def test_the_table_has_the_first_sentence_of_each_verb(verb: Verb) -> None:
    assert (inspect.getdoc(load_function(verb)) or "").split("\n\n")[0] == verb.help


def test_each_module_is_a_verb_of_the_table() -> None:
    rooms = ("", "about/", "cache/", "change/", "diagnose/", "model/", "observe/", "runs/", "tune/")
    files = [file for room in rooms for file in FOLDER.glob(f"{room}*.py")]
    modules = {
        ".".join(file.relative_to(FOLDER).with_suffix("").parts)
        for file in files
        if file.stem not in SHARED
    }
    assert {verb.target.partition(":")[0] for verb in EVERY} == modules


def given_options(verb: Verb) -> Iterator[tuple[str, OptionInfo]]:
    """Parameter and what was given to typer.Option; in Annotated its first flag is `default`."""
    for parameter in inspect.signature(spread_bundles(load_function(verb))).parameters.values():
        for given in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(given, OptionInfo):
                yield parameter.name, given


def flags(given: OptionInfo) -> tuple[str, ...]:
    first = (given.default,) if isinstance(given.default, str) else ()
    return (*first, *(given.param_decls or ()))


def test_every_option_names_its_flags() -> None:
    """typer 0.27 makes `--NAME` out of `metavar="NAME"` where none is named."""
    unnamed = [
        (verb.target, name)
        for verb in EVERY
        for name, given in given_options(verb)
        if not any(flag.startswith("--") for flag in flags(given))
    ]
    assert unnamed == []


OWN_MEANING = {
    "--only", "--name", "--venv", "--to", "--patience", "--hosts", "--output", "--slurm",
    "--all", "--engine", "--follow", "--from", "--ndjson", "--errors",
    "--timeout", "--older", "--url",
}  # fmt: skip


def test_an_option_of_several_verbs_reads_the_same() -> None:
    texts: dict[str, set[str | None]] = defaultdict(set)
    for verb in EVERY:
        for _, given in given_options(verb):
            texts[flags(given)[0]].add(given.help)
    differing = {flag for flag, found in texts.items() if len(found) > 1}
    assert differing <= OWN_MEANING


LOADED = (
    "import json, sys; from dsr1.launcher.cli.main import main; sys.argv = ['dsr1', *{words}]\n"
    "try: main()\n"
    "except SystemExit: pass\n"
    "print(json.dumps([name for name in sys.modules]))"
)


def loaded(*words: str, **variables: str) -> set[str]:
    argv = (sys.executable, "-c", LOADED.format(words=words))
    done = subprocess.run(
        argv, capture_output=True, check=True, timeout=300, env={**os.environ, **variables}
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_no_verb_and_not_even_typer() -> None:
    names = loaded("--help")
    assert "typer" not in names
    assert not {f"dsr1.launcher.cli.{verb.target.partition(':')[0]}" for verb in EVERY} & names


def test_the_help_of_one_verb_imports_that_verb_alone() -> None:
    names = loaded("stop", "--help")
    assert "dsr1.launcher.cli.runs.stop" in names
    assert "dsr1.launcher.cli.launch" not in names


def test_help_is_the_same_from_the_table_and_from_typer() -> None:
    shown = CliRunner().invoke(app, ["--help"], prog_name="dsr1").output
    assert shown == render_help()
    command: Any = typer.main.get_command(app)
    flags_of_typer = {flag for parameter in command.params for flag in parameter.opts}
    assert {*flags_of_typer, "-h, --help"} == {flag for flag, _ in OPTIONS}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("dsr1 pl", ["plan"]),
        ("dsr1 --ver", ["--version"]),
        ("dsr1 cache p", ["push", "prune"]),
        ("dsr1 plan --no", ["--no-facts"]),
    ],
)
def test_the_shell_completes_verbs_and_options(words: str, wanted: list[str]) -> None:
    number = str(len(words.split()) - 1)
    variables = {"_DSR1_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
    argv = (str(Path(sys.executable).with_name("dsr1")),)
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=300, env=os.environ | variables
    )
    assert done.stdout.split() == wanted


def test_a_typo_gets_a_suggestion() -> None:
    done = CliRunner().invoke(app, ["pla"], prog_name="dsr1")
    assert done.exit_code == 2
    assert "Did you mean 'plan'" in done.output


@dataclass(frozen=True, slots=True)
class Pair:
    first: Annotated[str, typer.Argument()]
    second: Annotated[int, typer.Option("--second")] = 2


def test_a_bundle_is_spread_and_gathered() -> None:
    got: list[object] = []

    def verb(pair: Pair, third: Annotated[bool, typer.Option("--third")] = False) -> None:
        got.append((pair, third))

    spread = spread_bundles(verb)
    assert list(inspect.signature(spread).parameters) == ["first", "second", "third"]
    command = typer.Typer()
    command.command()(spread)
    assert CliRunner().invoke(command, ["a", "--second", "3", "--third"]).exit_code == 0
    assert got == [(Pair("a", 3), True)]
