"""Errors of single hosts, beside what the others answered."""

from collections.abc import Iterator, Mapping

from dsr1.hosts.errors import Dsr1Error
from dsr1.launcher.cli.answers.envelope import AnswerError


def errors_of(results: Mapping[str, object]) -> Iterator[AnswerError]:
    for host, one in results.items():
        if isinstance(one, Dsr1Error):
            yield AnswerError(str(one), host)
