"""What tests of several verbs share."""

import sys
from collections.abc import Callable

import pytest

from dsr1.launcher.cli.main import main

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """One verb, here; gives its exit code."""

    def call(*argv: str) -> int:
        monkeypatch.setattr(sys, "argv", ["dsr1", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    return call
