"""Which GPUs of a host the tests on GPUs take."""

import pytest
from tests.gpu.host import taken_gpus


@pytest.mark.parametrize(("named", "taken"), [(None, 4), ("0,1", 2), ("0", 1)])
def test_they_take_the_first_ones_that_are_visible(
    monkeypatch: pytest.MonkeyPatch, named: str | None, taken: int
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert taken_gpus(4) == taken


def test_others_than_the_first_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(AssertionError, match="first GPUs, 0,1"):
        taken_gpus(4)
