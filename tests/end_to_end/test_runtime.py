"""What the real vLLM and Dynamo say of themselves and of commands; nothing of a deployment is
started."""

import platform
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.built import MODEL, PYTHON
from tests.end_to_end.conftest import Dsr1
from tests.waiting import HANGS_S

from dsr1.env.retired import FLAGS, VARIABLES
from dsr1.hosts.agent.runtime.runtime import ask_runtime
from dsr1.hosts.protocol.runtime import CommandLine, RuntimeQuestion

pytestmark = pytest.mark.e2e
DP = ("--data-parallel-size", "4", "--data-parallel-hybrid-lb", "--data-parallel-size-local", "2")
PLACED = (
    *DP,
    "--data-parallel-start-rank",
    "2",
    "--data-parallel-address",
    "127.0.0.1",
    "--enable-expert-parallel",
)
REFUSED = {
    "seqs": (
        ("--max-num-seqs", "512", "--max-num-batched-tokens", "256"),
        "greater than or equal to max_num_seqs",
    ),
    "backend": (("--all2all-backend", "none"), "invalid choice: 'none'"),
    "length": (("--max-model-len", "99999999"), "greater than the derived max_model_len"),
    "prefill": (("--disaggregation-mode", "prefill"), "--kv-transfer-config"),
    "connector": (("--connector", "nixl"), "--kv-transfer-config"),
    "compilation": (
        ("--compilation-config", '{"pass_config":{"enable_noop":true}}'),
        "pass_config.enable_noop",
    ),
    "flag": (("--a b';id", "1"), "unrecognized arguments"),
}


def worker(name: str, *argv: str) -> CommandLine:
    return CommandLine(name, "dynamo.vllm", ("--model", str(MODEL), *argv))


@pytest.mark.heavy
def test_the_installed_vllm_and_dynamo(runtime: None, tmp_path: Path) -> None:
    """It refuses what it would refuse after a start, takes the rest, and the retired are not among
    what it knows."""
    commands = (
        worker("plain"),
        worker("placed", *PLACED),
        *(worker(name, *argv) for name, (argv, _) in REFUSED.items()),
    )
    python = (str(PYTHON),)
    question = RuntimeQuestion(
        python, str(MODEL), ("dynamo.vllm", "dynamo.frontend", "dynamo.mocker"), commands
    )
    told = ask_runtime(question, tmp_path)
    said = {one.name: one for one in told.verdicts}
    assert [said[name].verdict for name in ("plain", "placed")] == ["accepted", "accepted"], told
    assert {
        name: (said[name].verdict, words in said[name].text) for name, (_, words) in REFUSED.items()
    } == dict.fromkeys(REFUSED, ("refused", True)), told.verdicts
    assert not set(VARIABLES) & set(told.variables)
    flags = {
        flag for parser in told.parsers if parser.module == "dynamo.vllm" for flag in parser.flags
    }
    assert {"--data-parallel-hybrid-lb", "--disaggregation-mode"} <= flags
    assert {name for name in FLAGS if f"--{name}" in flags} == {"connector"}
    assert "fastsafetensors" in told.load_formats
    again = ask_runtime(replace(question, commands=commands[:2]), tmp_path)
    assert again == replace(told, verdicts=told.verdicts[:2])


XCOMP_PERMISSION = """
import ctypes, vllm_cpu_ep

vllm_cpu_ep.register()
granted = ctypes.c_uint64()
assert ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(granted)) == 0  # arch_prctl, ARCH_GET_XCOMP_PERM
print(granted.value >> 18 & 1)  # XFEATURE_XTILE_DATA
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is an x86 CPU's")
def test_vllm_may_use_amx_where_the_cpu_has_it(runtime: None) -> None:
    """Unasked, its MoE kernel dies of SIGILL at the first tile instruction."""
    command = (str(PYTHON), "-c", XCOMP_PERMISSION)
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S)
    has_amx = " amx_tile" in Path("/proc/cpuinfo").read_text()
    assert done.stdout.split()[-1:] == [str(int(has_amx))], done.stderr


def test_check_and_plan_of_a_recipe_of_yesterday(dsr1: Dsr1, site: tuple[str, ...]) -> None:
    """With the simulator, which needs no vLLM: Dynamo's flags are held against its own parsers."""
    old = (
        "tiny",
        *site,
        "--set",
        "stack=mocker",
        "--set",
        "engines.main.env={DYN_VLLM_KV_EVENT_PORT: 1}",
    )
    done = dsr1(
        "check", *old, "--set", "engines.main.args={unheard-of: 1}", "--only", "sw", "--json"
    )
    found = {(one["check"], one["verdict"]) for one in data_of(done.stdout)}
    assert done.returncode == 3, done.stderr
    assert {("sw.flags", "FAIL"), ("sw.arguments", "SKIP")} <= found
    refused = dsr1(
        "launch", *old, "--set", "engines.main.args={unheard-of: 1}", "--name", "yesterday"
    )
    assert refused.returncode == 3
    assert "--unheard-of: python -m dynamo.mocker does not know it" in refused.stderr
