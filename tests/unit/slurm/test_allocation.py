"""What a batch step is told of its job."""

import pytest

from dsr1.hosts.errors import InputError
from dsr1.slurm.allocation import (
    AllocatedHost,
    own_allocation,
    parse_allocation,
    refuse_array,
    restart_count,
)
from dsr1.slurm.handle import JobHandle, parse_handle
from dsr1.slurm.spec import check_step_options
from dsr1.slurm.step import StepProgram, step_command

JOB = {"SLURM_JOB_ID": "17", "SLURM_CLUSTER_NAME": "lab", "SLURM_JOB_NODELIST": "node[1,2]"}


def test_the_hosts_stand_in_slurms_order() -> None:
    job = {**JOB, "SLURM_JOB_NODELIST": "b1,a[03-04],c"}
    assert [place.host for place in parse_allocation(job).places] == ["b1", "a03", "a04", "c"]
    assert [place.host for place in parse_allocation(JOB).places] == ["node1", "node2"]


def test_groups_of_a_heterogeneous_job_are_one_allocation() -> None:
    groups = {
        "SLURM_JOB_NODELIST_HET_GROUP_0": "node1",
        "SLURM_JOB_NODELIST_HET_GROUP_1": "node[2-3]",
    }
    allocation = parse_allocation({**JOB, **groups, "SLURM_HET_JOB_ID": "16"})
    assert allocation.job == "16"
    assert allocation.places == (
        AllocatedHost("node1", 0),
        AllocatedHost("node2", 1),
        AllocatedHost("node3", 1),
    )
    assert _told(allocation.places[2])[1:3] == ["--jobid=16", "--het-group=1"]


def _told(place: AllocatedHost, *options: str) -> list[str]:
    return list(step_command(place, "16", StepProgram("python3", "/b", 5.0, options)))


def test_a_sites_own_options_come_before_the_steps_program() -> None:
    told = _told(AllocatedHost("node1"), "--network=single_sn_vni")
    assert told[-5:] == ["--network=single_sn_vni", "python3", "/b", "keep", "5"]


@pytest.mark.parametrize(
    "option",
    ["--overlap", "--mem=1G", "--nodel=a", "--export=NONE", "-n2", "--output=x", "--a\nb", "true"],
)
def test_options_that_a_step_has_already(option: str) -> None:
    with pytest.raises(InputError, match=r"^slurm"):
        check_step_options(["--network=any", option])


def test_the_allocation_that_one_is_in() -> None:
    assert own_allocation({"SLURM_JOB_ID": "7"}) is None
    inside = own_allocation(JOB)
    assert (inside is not None, inside and inside.is_lent) == (True, False)


def test_a_task_of_an_array_is_refused() -> None:
    refuse_array(JOB)
    with pytest.raises(InputError, match="job 17 is a task of the array 15: a run is one job"):
        refuse_array({**JOB, "SLURM_ARRAY_JOB_ID": "15", "SLURM_ARRAY_TASK_ID": "0"})


def test_how_often_a_job_was_requeued() -> None:
    assert (restart_count(JOB), restart_count({**JOB, "SLURM_RESTART_COUNT": "2"})) == (0, 2)


def test_outside_of_a_job() -> None:
    with pytest.raises(InputError, match="not inside a job"):
        parse_allocation({"PATH": "/bin"})


def test_a_list_that_is_none() -> None:
    with pytest.raises(InputError, match="not a list of hosts"):
        parse_allocation({**JOB, "SLURM_JOB_NODELIST": "node[1-"})


@pytest.mark.parametrize(
    "text",
    ["", "slurm://", "slurm://a/b", "slurm://a b/1", "slurm://a/1;id", "17", "r1", "slurm://a/1\n"],
)
def test_what_is_no_handle(text: str) -> None:
    assert parse_handle(text) is None


def test_a_handle() -> None:
    assert parse_handle("slurm://lab/17") == JobHandle("lab", "17")
    assert str(JobHandle("lab", "17")) == "slurm://lab/17"
