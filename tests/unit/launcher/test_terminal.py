"""No control character that somebody else chose reaches a terminal, by whatever verb: unless --raw."""

import ast
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.text import Text
from tests.unit.launcher.cli.test_verbs import EVERY, FOLDER
from tests.unit.launcher.importing.test_hostile import manifest

from dsr1.hosts.inventory.host import this_machine
from dsr1.launcher.caches.store import Pack, PackStore
from dsr1.launcher.cli.main import main
from dsr1.launcher.cli.verbs import VERBS, Verb
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_text import quote_word
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.terminal import EscapedStream, escape_text, escaped_output

# Clears the screen; a title; C1's CSI; turns the direction round; hides; ends a line; rings.
ODD = "a\x1b[2J\x1b]0;t\x07\x9b1m\u202eb\u2066\u200b\u2028\r\x7f\x00\ufeff\U000e0041z"
CONTROLS = set(ODD) - set("az[2J]0;t1mb")
Drive = Callable[..., tuple[str, int]]


@pytest.fixture
def drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Drive:
    """The real command, in this process; what reached its stdout and stderr, and its exit code."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[str, int]:
        monkeypatch.setattr(sys, "argv", ["dsr1", *words])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return "".join(capfd.readouterr()), code

    return run


def assert_plain(said: str) -> None:
    assert not CONTROLS.intersection(said), [c for c in said if c in CONTROLS]


@pytest.fixture
def run(tmp_path: Path, drive: Drive) -> Run:
    """One that failed on this machine, and whose processes said it in odd words."""
    recipe = load_recipe("dsr1-slice", ["model.path=/models/r1"])
    run = new_run("r1")
    run.claim(recipe, "starting")
    run.save_plan(make_plan(recipe, this_machine(1, 1), "r1", str(run.folder)))
    run.save_settings(RunSettings("python3", *(1.0,) * 7, restarts=0, backoff_s=1.0))
    run.save(RunState("failed", 1.0, reason=ODD, notes=(ODD,), left=(ODD,)))
    logs = run.folder / "hosts" / run.plan().hosts[0].host / "logs"
    logs.mkdir(parents=True)
    (logs / "main-0.log").write_bytes(
        f"{ODD} torch.OutOfMemoryError: CUDA out of memory\n".encode()
    )
    return run


@pytest.mark.parametrize(
    "words",
    [
        ("logs", "r1"),
        ("logs", "r1", "--errors"),
        ("status", "r1"),
        ("status", "r1", "--json"),
        ("ps",),
        ("why", "r1"),
        ("why", "."),
        ("smoke", "r1"),
        ("stop", "r1"),
        ("supervise", "r1"),
        ("bundle", "r1"),
    ],
)
def test_what_a_run_says(drive: Drive, run: Run, words: tuple[str, ...]) -> None:
    said, _ = drive(*words)
    assert said
    assert_plain(said)


@pytest.mark.parametrize("words", [("logs", "r1", "--raw"), ("--raw", "logs", "r1")])
def test_raw_is_raw(drive: Drive, run: Run, words: tuple[str, ...]) -> None:
    assert ODD.partition("\r")[0] in drive(*words)[0]


def test_an_odd_text_is_shown_escaped(drive: Drive, run: Run) -> None:
    assert r"a\x1b[2J" in drive("logs", "r1")[0]


def recipe_file(folder: Path) -> str:
    recipe = {
        "name": "a",
        "description": ODD.replace("\0", ""),
        "stack": "vllm",
        "model": {"path": "/m", "served_name": ODD.replace("\0", "")},
        "runtime": {"env": {"A": ODD.replace("\0", "")}},
        "engines": {"main": {"args": {"load-format": ODD.replace("\0", "")}}},
    }
    (folder / "odd.yaml").write_text(yaml.safe_dump(recipe))
    return "odd.yaml"


@pytest.mark.parametrize(
    "words",
    [
        ("recipes", "odd.yaml"),
        ("plan", "odd.yaml", "--no-facts"),
        ("plan", "odd.yaml", "--no-facts", "--json"),
        ("render", "odd.yaml", "--bash", "--no-facts"),
        ("render", "odd.yaml", "--sbatch", "--nodes", "1"),
    ],
)
def test_what_a_recipe_says(drive: Drive, tmp_path: Path, words: tuple[str, ...]) -> None:
    recipe_file(tmp_path)
    said, code = drive(*words)
    assert code == 0, said
    assert_plain(said)


def test_what_a_manifest_says(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(manifest(ODD.replace("\0", "")))
    said, code = drive("import", "m.yaml")
    assert code == 0, said
    assert_plain(said)


def test_what_a_cache_says(drive: Drive, tmp_path: Path) -> None:
    PackStore(tmp_path / "state/jit").save(Pack("k", (("root", ODD),), (ODD,), 1, 1, ODD, ODD), b"")
    for words in (("cache", "ls"), ("cache", "ls", "--json")):
        said, code = drive(*words)
        assert code == 0
        assert "k" in said
        assert_plain(said)


def path_of(verb: Verb, verbs: tuple[Verb, ...] = VERBS) -> tuple[str, ...]:
    for one in verbs:
        if one is verb:
            return (one.name,)
        if below := path_of(verb, one.verbs) if one.verbs else ():
            return (one.name, *below)
    return ()


@pytest.mark.parametrize("verb", EVERY, ids=lambda verb: verb.target)
def test_what_any_verb_says_of_odd_words(drive: Drive, verb: Verb) -> None:
    """Names, options and files that are none: each is refused, and repeated in the message."""
    odd = ODD.replace("\0", "")
    for words in ((f"--{odd}",), (odd, odd, odd), ("--hosts", odd), ("--name", odd, odd)):
        said, code = drive(*path_of(verb), *words)
        assert code or verb.name == "bundle", said
        assert_plain(said)


def test_a_traceback(drive: Drive, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    with escaped_output(raw=False):
        sys.excepthook(ValueError, ValueError(ODD), None)
    assert_plain(capfd.readouterr().err)


def test_richs_own_escapes_reach_the_terminal_and_no_others() -> None:
    terminal = io.StringIO()
    sys.stdout, before = EscapedStream(terminal), sys.stdout
    try:
        console = make_console(force_terminal=True, highlight=False, width=200)
        console.print(Text(ODD, "bold red"))
    finally:
        sys.stdout = before
    written = terminal.getvalue()
    assert written.startswith("\x1b[1;31m")
    assert_plain(written.replace("\x1b[1;31m", "").replace("\x1b[0m", ""))


def test_richs_console_is_made_in_one_place() -> None:
    made = [
        file.name
        for file in FOLDER.parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich.console")
    ]
    assert made == ["console.py"]


@pytest.mark.parametrize("text", ["", "a\tb", "é中😀█", "a\nb\n", "\n"])
def test_what_is_no_control_stays(text: str) -> None:
    assert escape_text(text) == text


def test_lone_surrogates_can_be_written() -> None:
    assert escape_text("a\udcff") == r"a\udcff"


@pytest.mark.parametrize("value", ["a b", "';id", "\x1b[2J", "é\u202e'\\", "\udcff\x01", "a\nb"])
def test_a_quoted_word_is_for_bash_what_it_was(value: str) -> None:
    quoted = quote_word(value)
    assert escape_text(quoted) == quoted
    argv = ("bash", "-c", f"printf %s {quoted}")
    out = subprocess.run(argv, capture_output=True, check=True, timeout=20).stdout
    assert out == os.fsencode(value)
