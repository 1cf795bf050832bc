"""A transport to hosts that are made of values: nothing is run, and nothing is sent."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.unit.env.hgx import make_facts

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import to_plain
from dsr1.hosts.protocol.reach import ReachAnswer
from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.hosts.transport.base import AgentVerb, CommandResult
from dsr1.hosts.transport.results import HostIntroduction
from dsr1.hosts.transport.ssh import ShellTransport


class Machines(ShellTransport):
    """Each an HGX host with this address."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        super().__init__({}, "r", "python3")
        self._hosts = {host.name: host for host in hosts}

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        answers: dict[str, Callable[[str], object]] = {
            "introduce": self._introduction,
            "facts": lambda _: to_plain(make_facts()),
            "runtime": lambda _: asdict(RuntimeAnswer(problem="no vLLM here")),
            "reach": lambda _: asdict(ReachAnswer()),
        }
        return CommandResult(0, json.dumps(answers[verb.name](host)).encode(), b"")

    def upload(self, host: str, file: Path, name: str) -> None:
        pass

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return iter(())

    def _introduction(self, name: str) -> object:
        host = self._hosts[name]
        return asdict(
            HostIntroduction(f"boot-{name}", "x86_64", host.gpus, host.address, host.interface)
        )
