"""Notes on stderr, where a plain launch may not be what was meant."""

import pytest

from dsr1.launcher.cli.views.notes import note_allocation


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1"}, False),
        ({}, False),
    ],
)
def test_inside_of_an_allocation_its_nodes_are_offered(
    capsys: pytest.CaptureFixture[str], env: dict[str, str], said: bool
) -> None:
    note_allocation(env)
    told = capsys.readouterr().err
    assert ("job 7" in told, "--hosts 'n[1-2]'" in told) == (said, said)
