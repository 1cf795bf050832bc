"""Asking a runtime, with a small one in the place of vLLM's and Dynamo's: real children, and none
is left."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.waiting import until

from dsr1.hosts.agent.process.bounded_child import is_abandoned
from dsr1.hosts.agent.runtime.child import shorten_words
from dsr1.hosts.agent.runtime.runtime import ask_runtime, collect
from dsr1.hosts.protocol.identity import read_stat
from dsr1.hosts.protocol.runtime import CommandLine, CommandVerdict, RuntimeQuestion

HOSTILE = 'a b\';id\n{"x": "\xe9,y"}'
FILES = {
    "vllm/__init__.py": "import os\nopen(os.environ['IMPORTS'], 'a').write('i')\n",
    "vllm/envs.py": "environment_variables = {'VLLM_B': 1, 'VLLM_A': 1}\n",
    "vllm/usage/usage_lib.py": "class UsageContext:\n    OPENAI_API_SERVER = 1\n",
    "vllm/model_executor/model_loader.py": "_LOAD_FORMAT_TO_MODEL_LOADER = {'auto': 1}\n",
    "dynamo/vllm/__init__.py": "",
    "dynamo/vllm/args.py": (
        """
import argparse, os, time
def parser():
    made = argparse.ArgumentParser(allow_abbrev=False)
    made.add_argument('--words', choices=['x', 'y'])
    made.add_argument('--end')
    made.add_argument_group('g').add_argument('--in-a-group')
    return made
class Engine:
    def create_engine_config(self, usage):
        raise {'value': ValueError, 'type': TypeError, 'run': RuntimeError, 'none': KeyError}[self.end](self.text)
def parse_args():
    args = parser().parse_args()
    if args.end == 'hang': time.sleep(60)
    if args.end == 'die': os._exit(3)
    made = Engine()
    made.engine_args = made
    made.end, made.text = args.end, os.environ.get('TEXT', '')
    if args.end is None: made.create_engine_config = lambda usage: print('noise on stdout')
    return made
"""
    ),
    "dynamo/vllm/__main__.py": (
        """
from dynamo.vllm.args import parser
parser().parse_args()
open('/dev/null/started', 'w')  # past the parsing: it must never come here
"""
    ),
    "dynamo/odd.py": "import sys; sys.exit('no such thing')\n",
}


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python finds a vllm and a dynamo in; `imports` grows with every import of
    vllm."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)  # the agent's own Python is the runtime's
    monkeypatch.setenv("IMPORTS", str(tmp_path / "imports"))
    return tmp_path


def asking(*ends: str, text: str = "") -> RuntimeQuestion:
    commands = [
        CommandLine(end or "good", "dynamo.vllm", ("--end", end) if end else (), (("TEXT", text),))
        for end in ends
    ]
    return RuntimeQuestion(
        (sys.executable,), "org/hub-id", ("dynamo.vllm",), tuple(commands), timeout_s=20
    )


def test_what_it_knows(runtime: Path) -> None:
    told = ask_runtime(asking(), runtime / "base")
    (parser,) = told.parsers
    assert (told.variables, told.load_formats, told.problem) == (
        ("VLLM_A", "VLLM_B"),
        ("auto",),
        "",
    )
    assert {"--words", "--end", "--in-a-group", "--help"} <= set(parser.flags)
    assert [(choice.flag, choice.words) for choice in parser.choices] == [("--words", ("x", "y"))]


def test_refusals_are_told_in_its_own_words(runtime: Path) -> None:
    told = ask_runtime(asking("", "value", "type", "run", "none", text=HOSTILE), runtime / "base")
    words = " ".join(HOSTILE.split("\n"))
    assert told.verdicts[:3] == (
        CommandVerdict("good", "accepted"),
        CommandVerdict("value", "refused", words),
        CommandVerdict("type", "unknown", f"TypeError: {words}"),
    )
    assert [said.verdict for said in told.verdicts[3:]] == ["unknown", "refused"]
    assert told.verdicts[4].text.startswith("KeyError: ")


def test_what_argparse_says_is_its_last_word(runtime: Path) -> None:
    question = replace(asking(), commands=(CommandLine("c", "dynamo.vllm", ("--words", HOSTILE)),))
    (said,) = ask_runtime(question, runtime / "base").verdicts
    assert said.verdict == "refused"
    assert said.text.startswith("argument --words: invalid choice")


def test_an_answer_is_kept_and_only_what_is_new_is_asked(runtime: Path) -> None:
    base = runtime / "base"
    first = ask_runtime(asking(""), base)
    assert ask_runtime(asking(""), base) == first
    assert (runtime / "imports").read_text() == "i"
    both = ask_runtime(asking("", "value"), base)
    assert (both.verdicts[0], both.verdicts[1].verdict, both.problem) == (
        first.verdicts[0],
        "refused",
        "",
    )
    assert (runtime / "imports").read_text() == "ii"
    assert (base.stat().st_mode & 0o777, (base / "runtime").stat().st_mode & 0o777) == (
        0o700,
        0o700,
    )


def test_a_refusal_is_not_kept(runtime: Path) -> None:
    """It may be the host's: without its driver vLLM takes a GPU host for one without."""
    for imports in ("i", "ii"):
        assert ask_runtime(asking("value"), runtime / "base").verdicts[0].verdict == "refused"
        assert (runtime / "imports").read_text() == imports


def test_what_is_used_outlives_many_that_are_not(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that tells nothing takes no place."""
    monkeypatch.setattr("dsr1.hosts.agent.runtime.runtime.MOST_FILES", 2)
    base, used = runtime / "base", asking("")
    ask_runtime(used, base)
    for number in range(3):
        ask_runtime(replace(used, python=(sys.executable, "-X", f"other{number}")), base)
        mute = replace(used, python=(sys.executable, "-c", f"exit({number})"))
        assert ask_runtime(mute, base).parsers == ()
        ask_runtime(used, base)
    assert (runtime / "imports").read_text() == "i" * 4
    assert len(list((base / "runtime").iterdir())) == 2


def test_another_vllm_in_the_same_place_is_asked_anew(runtime: Path) -> None:
    ask_runtime(asking(), runtime / "base")
    (runtime / "vllm" / "envs.py").write_text("environment_variables = {'VLLM_C_NEW': 1}\n")
    assert ask_runtime(asking(), runtime / "base").variables == ("VLLM_C_NEW",)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"[]", b"\xff", b'{"accepted": {}, "knowledge": {"vllm": 1}}', b'{"accepted": 1}'],
)
def test_a_spoilt_cache_is_as_good_as_none(runtime: Path, garbage: bytes) -> None:
    first = ask_runtime(asking(""), runtime / "base")
    (file,) = (runtime / "base" / "runtime").iterdir()
    file.write_bytes(garbage)
    assert ask_runtime(asking(""), runtime / "base") == first


def test_a_folder_of_somebody_else_is_not_used(runtime: Path) -> None:
    """Nor is what lies in it, as good as it looks."""
    first = ask_runtime(asking(), runtime / "base")
    (file,) = (runtime / "base" / "runtime").iterdir()
    file.write_text(file.read_text().replace("VLLM_A", "VLLM_X"))
    (runtime / "base").chmod(0o777)
    assert ask_runtime(asking(), runtime / "base") == first
    assert "VLLM_X" in file.read_text()


def test_one_that_hangs_is_ended_and_what_it_told_before_counts(runtime: Path) -> None:
    began = time.monotonic()
    told = ask_runtime(replace(asking("", "hang", "value"), timeout_s=2), runtime / "base")
    assert time.monotonic() - began < 15
    assert told.verdicts[0] == CommandVerdict("good", "accepted")
    assert [said.verdict for said in told.verdicts[1:]] == ["unknown", "unknown"]
    assert told.variables


def test_one_that_dies_says_so(runtime: Path) -> None:
    told = ask_runtime(asking("die", "value"), runtime / "base")
    assert [said.verdict for said in told.verdicts] == ["unknown", "unknown"]
    assert "ended with 3" in told.problem


def test_without_vllm_the_reason_is_told(tmp_path: Path) -> None:
    told = ask_runtime(asking("value"), tmp_path)
    assert (told.parsers, told.verdicts) == (
        (),
        (CommandVerdict("value", "unknown", "ModuleNotFoundError: No module named 'vllm'"),),
    )
    assert ask_runtime(
        replace(asking("value"), python=("/none/python",)), tmp_path
    ).problem.startswith("/none/python can't")


def test_a_module_that_parses_nothing_is_no_parser(runtime: Path) -> None:
    (parser,) = ask_runtime(replace(asking(), modules=("dynamo.odd",)), runtime / "base").parsers
    assert "no such thing" in parser.problem


def test_a_model_that_is_not_there_is_no_refusal(runtime: Path) -> None:
    (said,) = ask_runtime(
        replace(asking(""), model=str(runtime / "none")), runtime / "base"
    ).verdicts
    assert (said.verdict, "config.json" in said.text) == ("unknown", True)


def test_no_child_outlives_the_asking(runtime: Path) -> None:
    """Also one that has left its own child behind, in its session."""
    (runtime / "dynamo" / "odd.py").write_text(f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
open({str(runtime / "pid")!r}, 'w').write(str(child.pid))
time.sleep(600)
""")
    ask_runtime(replace(asking(), modules=("dynamo.odd",), timeout_s=1), runtime / "base")
    pid = int((runtime / "pid").read_text())
    until(lambda: not ((stat := read_stat(pid)) and stat.alive), "the child's own child ended")


@pytest.mark.parametrize(
    "line", [{"verdicts": 3}, {"variables": 3}, {"new": 1}, {"parsers": {"module": 1}}]
)
def test_lines_that_are_not_ours(line: dict[str, object]) -> None:
    assert collect([{"variables": ["A"]}, line], "").problem.startswith(
        "unknown answer of the runtime's child"
    )


def test_pydantics_words_for_programmers_are_cut() -> None:
    text = (
        "1 validation error for X\n  Value error, a [1] is not b. [type=value_error,"
        " input_value=ArgsKwargs((), {'a': 1}), input_type=ArgsKwargs]\n    For further information"
        " visit https://errors.pydantic.dev/2.13/v/value_error"
    )
    assert shorten_words(text) == "1 validation error for X a [1] is not b."


def test_it_ends_with_who_asked(runtime: Path) -> None:
    """A reader that is gone is noticed, whichever pipe it was."""
    reader, writer = os.pipe()
    assert not is_abandoned(writer)
    os.close(reader)
    assert is_abandoned(writer)
    os.close(writer)
