"""Plans as bash scripts: golden files, clean for shellcheck, and how what they start ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.launcher.plan.test_golden_plans import CASES, HOSTS
from tests.waiting import HANGS_S, until

from dsr1.hosts.protocol.process import HostPlan, Process, SecretVariable, Variable
from dsr1.launcher.plan.plan import PREVIEW_RUN_ID, Plan, ServiceTarget, make_plan
from dsr1.launcher.plan.render_bash import render_bash
from dsr1.launcher.recipe.load import resolve_recipe

GOLDEN = Path(__file__).parents[3] / "golden" / "bash"
WHOLE = ("dsr1-dep", "dsr1-disagg-8gpu")
HOSTILE = (
    "a b",
    "';id",
    "x,y",
    '{"a": "b"}',
    "$(id)",
    "`id`",
    "a\\b",
    'a"b',
    "é",
    "#c",
    "!x",
    "a\nb",
    "=eth0",
    "~",
    "",
)
STAYS = ("bash", "-c", "echo up; while :; do sleep 60 & wait; done")
STUBBORN = ("bash", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")


def rendered(case: str) -> str:
    recipe, hosts, changes = CASES[case]
    plan = make_plan(resolve_recipe(recipe, changes).recipe, HOSTS[:hosts], "golden", "/run/golden")
    return render_bash(plan, "/run/golden")


@pytest.mark.parametrize("case", WHOLE)
def test_golden(case: str) -> None:
    assert rendered(case) == (GOLDEN / f"{case}.sh").read_text()


@pytest.mark.parametrize("case", ["dsr1-dep", "dsr1-vllm"])
def test_clean_for_shellcheck(case: str) -> None:
    tool = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run(
        (tool, "-"), input=rendered(case), capture_output=True, text=True, check=False
    )
    assert checked.stdout == ""


def test_of_a_secret_there_is_only_its_place() -> None:
    script = rendered("dsr1-dep")
    assert 'ETCD_AUTH_CLIENT_KEY=$(<"$folder/secrets/tls.key")' in script
    assert "BEGIN" not in script


def a_plan(*processes: Process, addresses: tuple[str, ...] = ("127.0.0.1",)) -> Plan:
    hosts = dict(zip(("a", "b"), addresses, strict=False))
    parts = (
        HostPlan("r", name, at, tuple(p for p in processes if p.host == name))
        for name, at in hosts.items()
    )
    return Plan(
        "r", PREVIEW_RUN_ID, "t", tuple(parts), ServiceTarget("127.0.0.1", 1, "m", None), ()
    )


def a_process(name: str, argv: tuple[str, ...], **more: object) -> Process:
    values = {"name": name, "group": name, "host": "a", "argv": argv, "grace_s": 1.0} | more
    return Process(**values)  # type: ignore[arg-type]


def write(plan: Plan, folder: Path) -> Path:
    script = folder / "run.sh"
    script.write_text(render_bash(plan, str(folder / "it's r")))
    return script


@contextmanager
def running(plan: Plan, folder: Path, host: str = "a") -> Iterator["subprocess.Popen[str]"]:
    argv = ("bash", str(write(plan, folder)), host)
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as script:
        try:
            yield script
        finally:
            script.terminate()


def log(folder: Path, name: str, host: str = "a") -> str:
    file = folder / "it's r" / "hosts" / host / f"{name}.log"
    return file.read_text() if file.exists() else ""


def alive(mark: str) -> list[str]:
    """Processes that have the test's mark in their environment: whatever sessions they made."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"MARK={mark}".encode() in environment.read_bytes():
                found.append(environment.parent.name)
        except OSError:
            continue
    return found


def marked(folder: Path) -> tuple[Variable, ...]:
    return (Variable("MARK", str(folder), "test"),)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_reach_the_process_as_they_are(value: str, tmp_path: Path) -> None:
    process = a_process(
        "p", ("printf", r"%s\n", value, "--x", value), env=(Variable("V", value, f"a\n{value}"),)
    )
    script = write(a_plan(process), tmp_path)
    ran = subprocess.run(
        ("bash", script, "--process", "p"), capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"{value}\n--x\n{value}\n"
    env = write(
        a_plan(a_process("p", ("printenv", "V"), env=(Variable("V", value, ""),))), tmp_path
    )
    assert (
        subprocess.run(("bash", env, "--process", "p"), capture_output=True, text=True).stdout
        == f"{value}\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(number: signal.Signals, tmp_path: Path) -> None:
    """One that won't go by TERM goes by KILL, and the children of each with it."""
    both = (
        a_process(name, argv, env=marked(tmp_path))
        for name, argv in (("p", STAYS), ("q", STUBBORN))
    )
    with running(a_plan(*both), tmp_path) as script:
        until(lambda: log(tmp_path, "p") == log(tmp_path, "q") == "up\n")
        script.send_signal(number)
        assert script.wait(HANGS_S) == {signal.SIGINT: 130}.get(number, 143)
    assert alive(str(tmp_path)) == []


def test_the_end_of_one_ends_all_and_is_told(tmp_path: Path) -> None:
    ends = a_process("q", ("bash", "-c", "echo last words; exit 7"))
    with running(a_plan(a_process("p", STAYS, env=marked(tmp_path)), ends), tmp_path) as script:
        assert script.wait(HANGS_S) == 1
        assert script.stderr is not None
        told = script.stderr.read()
    assert (f"q ended with exit code 7: {tmp_path}" in told, told.endswith("last words\n")) == (
        True,
        True,
    )
    assert alive(str(tmp_path)) == []


def test_it_is_started_once_at_a_time_and_anew_afterwards(tmp_path: Path) -> None:
    plan = a_plan(
        a_process(
            "p", ("bash", "-c", "[ ! -e old ] && touch old && echo up $PPID && exec sleep 60")
        )
    )
    for _ in range(2):
        with running(plan, tmp_path) as script:
            until(lambda: log(tmp_path, "p") == f"up {script.pid}\n")
            again = subprocess.run(
                ("bash", tmp_path / "run.sh", "a"), capture_output=True, text=True, check=False
            )
            assert (again.returncode, "runs already" in again.stderr) == (2, True)
            script.terminate()
            assert script.wait(HANGS_S) == 143


def test_what_listens_is_waited_for_on_another_host_too(tmp_path: Path) -> None:
    etcd = a_process("etcd", ("true",), listen_port=20000)
    worker = a_process("main-1", ("true",), host="b", wave=2)
    script = render_bash(a_plan(etcd, worker, addresses=("127.0.0.1", "127.0.0.2")), str(tmp_path))
    part = script.partition("b | b.*)")[2].partition(";;")[0].split("\n")
    assert [line.strip() for line in part if line.strip()] == [
        "fresh hosts/b",
        "await 127.0.0.1 20000 # etcd",
        "start hosts/b main-1",
    ]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("c",), "no host 'c', there are: a b"),
        (("--process", "x"), "no process 'x', there are: p q"),
        (("--help",), "the head of this file"),
        (("a",), "secrets: --certificates makes them"),
    ],
)
def test_what_it_refuses(argv: tuple[str, ...], words: str, tmp_path: Path) -> None:
    secret = (SecretVariable("S", "tls.key"),)
    plan = a_plan(
        a_process("p", ("true",), secrets=secret),
        a_process("q", ("true",), host="b"),
        addresses=("127.0.0.1", "127.0.0.2"),
    )
    if argv == ("c",):
        (tmp_path / "it's r" / "secrets").mkdir(parents=True)
        (tmp_path / "it's r" / "secrets" / "tls.key").touch()
    env = {"PATH": os.environ["PATH"]}
    ran = subprocess.run(
        ("bash", write(plan, tmp_path), *argv), capture_output=True, text=True, check=False, env=env
    )
    assert (ran.returncode, words in ran.stderr) == (2, True), ran.stderr


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in WHOLE:
        (GOLDEN / f"{name}.sh").write_text(rendered(name))
