"""What holds for all tests."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.built import build


def pytest_configure() -> None:
    """In a script's background job SIGINT is ignored, below nohup SIGHUP is, and so they would be
    by all that tests start and send them to."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several workers one runs the heavy tests, one by one, while the others go on: first with
    the unit tests, which don't wait for what the heavy ones may have to build."""
    for item in items:
        if item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.xdist_group("heavy"))
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """What one worker runs in a row comes before what fills the gaps at the end."""
    if item.get_closest_marker("heavy"):
        return 0
    if item.nodeid.startswith("tests/unit/"):
        return 1
    return 2 if item.get_closest_marker("xdist_group") else 3


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """dsr1's command sets one of its own, in this process, too, where a test calls it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def runtime() -> None:
    """Real vLLM and Dynamo, and a model for them."""
    build()
