"""What of its environment a command of Slurm's gets. Pure.

Users keep defaults there, and a job in which dsr1 is started tells of itself: `SQUEUE_PARTITION`
would hide jobs, `SCANCEL_INTERACTIVE` ask a question, `SBATCH_REQUEUE` win over the script,
`SLURM_LABELIO` change a step's output.
"""

from collections.abc import Mapping

_READ = ("SLURM_", "SLURMD_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SRUN_")
_KEPT = (
    "SLURM_CONF",
    "SLURM_CONF_SERVER",
    "SLURM_JWT",
    "SLURM_SACK_KEY",
    "SLURM_SACK_JWKS",
)  # where Slurm is, and who asks
# Where a user's jobs usually go and who pays for them, as long as the script doesn't say.
_DEFAULTS = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_WCKEY": "wckey",
}


def plain_environment(env: Mapping[str, str]) -> dict[str, str]:
    """For commands that are to do what their arguments say."""
    return {
        name: value for name, value in env.items() if name in _KEPT or not name.startswith(_READ)
    }


def step_variables(env: Mapping[str, str]) -> dict[str, str]:
    """For a step, which has a node as it is. How many nodes its job has, and which, its processes
    may want to know."""
    of_job = {
        name: value for name, value in env.items() if name.startswith(("SLURM_JOB_", "SLURM_HET_"))
    }
    return plain_environment(env) | of_job


def submission_environment(env: Mapping[str, str], script: str) -> dict[str, str]:
    """For sbatch, whose variables win over the script's own options."""
    given = {line.split("=")[0] for line in script.splitlines() if line.startswith("#SBATCH ")}
    defaults = {name for name, option in _DEFAULTS.items() if f"#SBATCH --{option}" not in given}
    return plain_environment(env) | {name: value for name, value in env.items() if name in defaults}
