"""A transport whose hosts tell what the test says."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict

from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.hosts.transport.base import AgentLink, AgentVerb, CommandResult, JobStream, Transport


class Teller(Transport):
    def __init__(self, told: RuntimeAnswer) -> None:
        self._told = told
        self.asked: list[str] = []

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        self.asked.append(host)
        return CommandResult(0, json.dumps(asdict(self._told)).encode(), b"")

    def attach(self, host: str, since: int) -> AgentLink:
        raise NotImplementedError

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        raise NotImplementedError

    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        raise NotImplementedError
