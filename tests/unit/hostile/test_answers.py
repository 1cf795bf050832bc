"""What hosts answer that mean harm: whatever it is, it ends as an error that names the host, never as
a traceback."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.env.hgx import HEALTHY, NEEDS
from tests.unit.hostile.values import HOSTILE_TEXTS, any_json, one_part_changed

from dsr1.env.checks.all import run_checks
from dsr1.hosts.errors import BadAnswer, HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.evidence import EvidenceRequest
from dsr1.hosts.protocol.facts.fact import Fact, to_plain
from dsr1.hosts.protocol.facts.request import FactsRequest
from dsr1.hosts.protocol.jobs.messages import JobRefused
from dsr1.hosts.protocol.jobs.orders import FABRIC, FETCH, PUSH, VERIFY, VerifyOrder
from dsr1.hosts.protocol.reach import ReachPeer, ReachQuestion
from dsr1.hosts.protocol.runtime import RuntimeQuestion
from dsr1.hosts.transport.base import AgentVerb, CommandResult, JobStream, Transport
from dsr1.hosts.transport.jobs import run_job_on_all
from dsr1.hosts.transport.link import StreamLink
from dsr1.hosts.transport.local import LocalTransport
from dsr1.hosts.transport.results import HostRun
from dsr1.launcher.caches.transfer import drop_held, list_held
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.prep.hosts import probe_all
from dsr1.launcher.recipe.load import load_recipe
from dsr1.slurm.channel import parse_step_message

BOUNDED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Answering(Transport):
    """A transport whose hosts answer all alike."""

    def __init__(self, answer: bytes, code: int = 0) -> None:
        self._answer, self._code = answer, code

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        return CommandResult(self._code, self._answer, b"")

    def attach(self, host: str, since: int) -> StreamLink:
        return StreamLink(Blocks(self._answer), host)

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return iter(())

    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        blocks = Blocks(self._answer)
        return nullcontext(JobStream(lambda _: None, iter(lambda: blocks.recv(64), b"")))


class Blocks:
    """A stream of bytes that ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, nbytes: int, /) -> bytes:
        data, self._data = self._data[:nbytes], self._data[nbytes:]
        return data

    def close(self) -> None: ...


FOUND = HostRun("r", "id", "h", "/f", "", (), True)
OWN = ReachPeer("h", "127.0.0.1", 1)
ASK: dict[str, Callable[[Transport], object]] = {
    "introduce": lambda hosts: hosts.introduce("h", ""),
    "stop": lambda hosts: hosts.stop("h"),
    "stop_found": lambda hosts: hosts.stop_found("h", FOUND, "why"),
    "inspect": lambda hosts: hosts.inspect("h"),
    "kept": lambda hosts: hosts.kept_files("h", FOUND),
    "keep-files": lambda hosts: hosts.keep_files("h", {"plan.json": "{}"}),
    "runs": lambda hosts: hosts.runs("h"),
    "listeners": lambda hosts: hosts.listeners("h"),
    "evidence": lambda hosts: hosts.gather_evidence("h", EvidenceRequest((), (), 0.0)),
    "facts": lambda hosts: hosts.gather_facts("h", FactsRequest()),
    "runtime": lambda hosts: hosts.ask_runtime("h", RuntimeQuestion((), "m", ())),
    "reach": lambda hosts: hosts.try_peers("h", ReachQuestion(OWN, ())),
    "cache-list": lambda hosts: list_held(hosts, "h"),
    "cache-drop": lambda hosts: drop_held(hosts, "h", "", ()),
    "prep": lambda hosts: probe_all(hosts, ("h",)),
    "events": lambda hosts: list(hosts.attach("h", 0).events()),
    "job": lambda hosts: run_job_on_all(
        hosts, VERIFY, {"h": VerifyOrder("m", False)}, lambda *_: None
    ),
}
FORMS: dict[str, Any] = {
    "introduce": {"boot_id": "b", "arch": "x86_64", "gpus": 8, "address": "10.0.0.1", "interface": "eth0"},
    "stop": {"event": "Gone", "processes": ["a"], "left": []},
    "inspect": {"agent": "alive", "processes": {"a": {"state": "running", "pid": 1}}, "boot_id": "b"},
    "kept": {"plan.json": "{}"},
    "keep-files": ["plan.json"],
    "runs": [{"run": "r", "run_id": "i", "host": "h", "folder": "/f", "origin": "o", "alive": ["a"], "agent": True}],
    "listeners": [["a", "0.0.0.0", 80]],
    "evidence": {"host": "h", "now": 1.0, "kernel": [{"time": 1.0, "text": "t"}]},
    "facts": to_plain({name: Fact(value, "made up") for name, value in HEALTHY.items()}),
    "events": {"seq": 1, "time": 1.0, "host": "h", "event": "Progress", "process": "p", "phase": "loading", "rank": 0, "done": 1, "total": 2},
    "job": {"progress": [1, 2, "t"]},
}  # fmt: skip


def _survives(name: str, answer: bytes) -> None:
    for code in (0, 1):
        words = _error_of(name, Answering(answer, code))
        assert not words or words.startswith("h: ")
        assert len(words) < 2000


def _error_of(name: str, hosts: Transport) -> str:
    try:
        ASK[name](hosts)
    except HostError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ASK)
@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: repr(text[:20]))
def test_texts_that_are_no_answer(name: str, text: bytes) -> None:
    _survives(name, text + b"\n")


@pytest.mark.parametrize("name", ASK)
@given(value=any_json)
@BOUNDED
def test_json_of_any_form(name: str, value: object) -> None:
    _survives(name, json.dumps(value).encode() + b"\n")


@pytest.mark.parametrize("name", FORMS)
@given(data=st.data())
@BOUNDED
def test_an_answer_of_which_a_part_was_changed(name: str, data: st.DataObject) -> None:
    changed = data.draw(one_part_changed(FORMS[name]))
    _survives(name, json.dumps(changed).encode() + b"\n")


@given(data=st.data())
@settings(BOUNDED, max_examples=int(os.environ.get("FUZZ", "400")))
def test_facts_of_which_a_part_was_changed_are_judged_and_planned_with(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(HEALTHY)))
    changed = HEALTHY | {name: data.draw(one_part_changed(HEALTHY[name]))}
    answer = json.dumps(to_plain({one: Fact(value, "") for one, value in changed.items()}))
    try:
        facts = Answering(answer.encode()).gather_facts("a", FactsRequest())
    except HostError:
        return
    healthy = {one: Fact(value, "") for one, value in HEALTHY.items()}
    by_host = {"a": facts, "b": healthy}
    assert run_checks(by_host, NEEDS)
    hosts = (Host("a", "10.0.0.1", "eth0", 8), Host("b", "10.0.0.2", "eth0", 8))
    assert make_plan(load_recipe("dsr1-dep"), hosts, "r", "/f", facts=by_host).processes


@given(line=st.one_of(any_json.map(lambda value: json.dumps(value).encode()), st.binary()))
@BOUNDED
def test_what_a_step_may_say(line: bytes) -> None:
    message = parse_step_message(line)
    assert message is None or isinstance(message.call, int)


@pytest.mark.parametrize("job", [FETCH, PUSH, VERIFY, FABRIC], ids=lambda job: job.name)
@given(value=any_json, form=st.sampled_from(["result", "message", "refused", "progress"]))
@BOUNDED
def test_what_a_job_may_say(job: Any, value: object, form: str) -> None:
    line = json.dumps({form: value}).encode() + b"\n"
    try:
        Answering(line).run_job("h", job, VerifyOrder("m", False), lambda _: None)
    except (HostError, JobRefused):
        return


def _python_that(tmp_path: Path, script: str) -> LocalTransport:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return LocalTransport(tmp_path / "agents", (str(program),))


def test_an_answer_without_end_is_left_after_its_bound(tmp_path: Path) -> None:
    hosts = _python_that(tmp_path, "exec yes")
    with pytest.raises(
        BadAnswer, match="h: that host's answer makes no sense: it goes on after 32 MiB"
    ):
        hosts.inspect("h")


def test_errors_without_end_are_no_more_than_their_last_lines(tmp_path: Path) -> None:
    hosts = _python_that(tmp_path, "head -c 9000000 /dev/zero >&2; echo why >&2; exit 1")
    result = hosts.run_verb("h", AgentVerb("inspect"))
    assert len(result.err) <= 2 << 20
    assert result.err.endswith(b"why\n")


def test_silence_ends_in_time(tmp_path: Path) -> None:
    hosts = _python_that(tmp_path, "exec sleep 1000")
    with pytest.raises(HostError, match="h: the agent's `runs` took over 0 s"):
        hosts.run_verb("h", AgentVerb("runs", (), timeout_s=0.3))


def test_a_line_without_end_is_no_event() -> None:
    class Endless(Blocks):
        def recv(self, nbytes: int, /) -> bytes:
            return b"y" * nbytes

    with pytest.raises(
        BadAnswer, match=r"h: that host's answer makes no sense: .*a line without an end"
    ):
        next(StreamLink(Endless(b""), "h").events())


def test_a_job_that_says_other_things_for_ever_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock: it is moved, not waited for."""
    from dsr1.hosts.protocol.jobs import messages

    moments = iter(range(0, 10**9, 30))
    monkeypatch.setattr(messages, "time", type("Clock", (), {"monotonic": lambda: next(moments)}))

    class Babbling(Answering):
        def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
            return nullcontext(JobStream(lambda _: None, repeat(b"warning: nothing\n")))

    with pytest.raises(BadAnswer, match="no message of a job for 60 s"):
        Babbling(b"").run_job("h", VERIFY, VerifyOrder("m", False), lambda _: None)


@pytest.mark.parametrize(
    "change",
    [{"gpus": -1}, {"gpus": 2**40}, {"address": "10.0.0.1; id"}, {"address": "evil.example"}, {"interface": "eth0 --x"}, {"interface": "../x"}],
    ids=str,
)  # fmt: skip
def test_an_introduction_that_no_plan_can_be_made_of(change: dict[str, Any]) -> None:
    answer = json.dumps(FORMS["introduce"] | change).encode()
    with pytest.raises(
        BadAnswer, match="h: that host's answer makes no sense: its agent can't run"
    ):
        Answering(answer).introduce("h", "")
