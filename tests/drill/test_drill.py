"""A short drill with every run of the tests; `make drill` is the long one."""

import pytest
from tests.drill.drill import drill

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


def test_two_rounds(runtime: None, packages: None) -> None:
    assert drill(2, 1) == 0
