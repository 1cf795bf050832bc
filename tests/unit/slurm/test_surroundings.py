"""What users have in their environment for Slurm's commands doesn't change what dsr1 asks of
them."""

from dsr1.slurm.surroundings import plain_environment, step_variables, submission_environment

OWN = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", "SLURM_JWT": "token", "NCCL_DEBUG": "INFO"}
SET = {
    "SLURM_JOB_ID": "7",
    "SLURM_LABELIO": "1",
    "SLURM_CLUSTERS": "all",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "a",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_WAIT": "1",
    "SBATCH_REQUEUE": "1",
    "SQUEUE_PARTITION": "cpu",
    "SQUEUE_FORMAT": "%i",
    "SACCT_FEDERATION": "1",
    "SCANCEL_INTERACTIVE": "1",
    "SRUN_CPUS_PER_TASK": "1",
}
USUAL = {"SBATCH_ACCOUNT": "phys", "SBATCH_PARTITION": "cpu", "SBATCH_TIMELIMIT": "5"}


def test_where_slurm_is_and_who_asks_are_all_that_its_commands_get() -> None:
    assert plain_environment(OWN | SET | USUAL) == OWN


def test_a_users_usual_account_stands_where_the_script_names_none() -> None:
    script = (
        "#!/bin/bash\n#SBATCH --partition=h100\n#SBATCH --time-min=1\necho #SBATCH --account=x\n"
    )
    kept = {"SBATCH_ACCOUNT": "phys", "SBATCH_TIMELIMIT": "5"}
    assert submission_environment(OWN | SET | USUAL, script) == OWN | kept


def test_a_step_knows_its_job_and_no_other_setting() -> None:
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST_HET_GROUP_0": "a",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_HET_SIZE": "2",
    }
    assert step_variables(OWN | SET | USUAL | job | {"SLURM_NTASKS": "2"}) == OWN | job
