"""What the command itself decides: its own options, what it refuses before any host is asked, words
for nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.caches.selection import refuse_unknown
from dsr1.launcher.cli import prewarm
from dsr1.launcher.cli.main import main, own_options_first
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.load import load_recipe


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))


def run(monkeypatch: pytest.MonkeyPatch, words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["dsr1", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("plan --debug x", "--debug plan x"),
        ("--debug plan", "--debug plan"),
        ("exec --hosts h -- prog --debug", "exec --hosts h -- prog --debug"),
        ("exec --debug --hosts h -- prog --debug", "--debug exec --hosts h -- prog --debug"),
        ("", ""),
    ],
)
def test_debug_is_dsr1s_own_before_two_dashes(words: str, wanted: str) -> None:
    assert own_options_first(words.split()) == wanted.split()
    raw, own = (text.replace("--debug", "--raw").split() for text in (words, wanted))
    assert own_options_first(raw) == own


@pytest.mark.parametrize("words", ["--debug plan no-such-recipe", "plan no-such-recipe --debug"])
def test_debug_shows_the_error_itself(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["dsr1", *words.split()])
    with pytest.raises(InputError, match="no recipe"):
        main()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("plan no-such-recipe", 2, "dsr1: no recipe"),
        ("--version", 0, "dsr1 "),
        ("--help", 0, "--debug"),
        ("check --only gpu --skip gpu", 2, "leave no check to run"),
        ("ps", 0, "there are no runs\n"),
        ("ps --json", 0, '"kind": "runs",\n  "data": []'),
        ("cache ls", 0, "no caches are kept here\n"),
        ("cache ls --json", 0, '"kind": "kept-caches",\n  "data": []'),
        ("plan no-such-recipe --json", 2, "dsr1: no recipe"),
        ("plan --hots a", 2, "dsr1: No such option: --hots"),
        ("plan a b", 2, "dsr1: Got unexpected extra argument"),
        ("cache", 2, "Usage: dsr1 cache"),
        ("-h", 0, "Usage: dsr1"),
        ("plan -h", 0, "--no-facts"),
        ("", 0, "Usage: dsr1"),
        ("cache prune typo", 2, "no cache typo is kept here"),
        ("cache prune --older -1", 2, "--older"),
        ("cache prune --older 0", 0, ""),
    ],
)
def test_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    code: int,
    said: str,
) -> None:
    assert run(monkeypatch, words) == code
    captured = capsys.readouterr()
    assert said in (captured.err if code else captured.out)


def test_a_key_that_no_host_holds_is_named() -> None:
    with pytest.raises(InputError, match="no cache typo is on any host"):
        refuse_unknown(["typo"], [], "is on any host")


def test_prewarming_hosts_that_did_not_tell_says_why() -> None:
    recipe = load_recipe("dsr1-dep")
    seen = Survey(
        (Host("a", "a", ""), Host("b", "b", "")),
        (),
        (),
        {name: HostError(f"{name}: no way") for name in "ab"},
    )
    with pytest.raises(HostError, match="a: no way\\nb: no way"):
        prewarm._choose_engines(recipe, seen, [])
    with pytest.raises(InputError, match="--engine typo"):
        prewarm._choose_engines(recipe, seen, ["typo"])


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        ("--venv ~/vllm", ["runtime.venv: ~/vllm was made absolute on this machine; every host"]),
        ("--venv ./vllm --model ./r1", ["runtime.venv: ./vllm", "model.path: ./r1"]),
        ("--venv /opt/vllm --model deepseek-ai/DeepSeek-R1", []),
    ],
)
@pytest.mark.parametrize("hosts", ["--hosts n1,n2", ""])
def test_a_path_that_is_made_absolute_here_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: str,
    notes: list[str],
    hosts: str,
) -> None:
    """For other hosts alone; here it is what the user meant."""
    assert run(monkeypatch, f"plan dsr1-dep --no-facts {hosts} {options}") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "made absolute" in line]
    assert len(said) == (len(notes) if hosts else 0)
    assert all(any(note in line for line in said) for note in notes if hosts)


@pytest.mark.parametrize("host", ["10.0.0.300", "user@n1", "n1:22", "2001:db8::1", "a b"])
def test_an_address_that_no_url_takes_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    setting = f"frontend.host={host}".replace(" ", "\t")
    monkeypatch.setattr(sys, "argv", ["dsr1", "plan", "dsr1-dep", "--no-facts", "--set", setting])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, "frontend.host" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("verb", ["check", "launch"])
def test_a_key_file_is_read_before_any_host_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    key = "--set frontend.api_key_file=/nowhere/key"
    words = f"{verb} dsr1-vllm --hosts 192.0.2.1 --model /m --venv /v {key}"
    assert run(monkeypatch, words) == 2
    told = capsys.readouterr().err
    assert "frontend.api_key_file: /nowhere/key: can't be read: No such file" in told


@pytest.mark.parametrize("words", ["recipes", "recipes --json"])
def test_a_pipe_that_nobody_reads_ends_it_without_a_word(words: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = (sys.executable, "-c", "from dsr1.launcher.cli.main import main; main()")
    env = os.environ | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(
        (*command, *words.split()), stdout=write, stderr=subprocess.PIPE, env=env, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
